"""OpenAI's Agents SDK: a question by voice, heard here, answered by the upstream and spoken here."""

from pathlib import Path
from typing import Any

import pytest

from tests.functional.client_programs import environment_python, json_printed_by
from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.upstream_server import response_events, upstream_server

AGENTS = Path(__file__).with_name("agents")


def asked_by_voice(server: GunicornServer, way: str) -> dict[str, Any]:
    """What came of a recording that went through the SDK's VoicePipeline, `whole` or `streamed`."""
    python = environment_python(AGENTS, "openai-agents")
    return json_printed_by([python, AGENTS / "voice_pipeline.py", f"{server.url}/v1", FLAGSHIP, way])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_voice_pipeline(start_server: StartServer, way: str) -> None:
    with upstream_server() as upstream:
        upstream.streams(*response_events("It is", " about the sun."))
        server = start_server(CHAT_UPSTREAM_URL=upstream.url).wait_until_ready()
        result = asked_by_voice(server, way)
        [asked] = upstream.received
    assert result["contacted"] == ["127.0.0.1"], "nobody else is told of it"
    assert result["heard"] == [FLAGSHIP_TEXT]
    assert asked["input"] == [{"role": "user", "content": FLAGSHIP_TEXT}]
    assert result["said"] == "It is about the sun."
    assert result["samples"] > 24_000 / 2, "half a second of speech at the least"
    assert result["events"] == ["turn_started", "turn_ended", "session_ended"]
