"""livekit's agents, which open a realtime session for each speaker. Their packages are too many for CI."""

from pathlib import Path

import pytest

from tests.functional.client_programs import environment_python, json_printed_by
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

LIVEKIT = Path(__file__).with_name("livekit")


@pytest.mark.real
def test_a_speaker_is_heard(tmp_path: Path) -> None:
    python = environment_python(LIVEKIT, "livekit")
    with GunicornServer(tmp_path / "server.log") as server:
        server.wait_until_ready()
        result = json_printed_by([python, LIVEKIT / "livekit_stt.py", f"{server.url}/v1", FLAGSHIP])
    assert result["contacted"] == ["127.0.0.1"], "nobody else is told of it"
    assert result["heard"] == FLAGSHIP_TEXT
    interim = "interim_transcript"
    assert interim in result["events"]
    others = [event for event in result["events"] if event != interim]  # words may come before the end
    assert others == ["start_of_speech", "end_of_speech", "final_transcript"]
