"""Real clients of realtime sessions, in programs of their own; another one is in test_agents_sdk.py."""

import json
import subprocess

import pytest

from tests.functional.certificates import make_certificate
from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS
from tests.functional.node_programs import NODE, require_installed
from tests.functional.realtime_client import TRANSCRIPTION, audio_of
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

pytestmark = pytest.mark.slow


@pytest.mark.needs("openssl")
def test_the_node_sdk_over_tls(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    require_installed()
    folder = tmp_path_factory.mktemp("tls")
    certificate = make_certificate(folder)
    server = start_server(GUNICORN_CMD_ARGS=f"--certfile {certificate} --keyfile {folder / 'key.pem'}")
    server.wait_for_log("Serving ")
    url = f"https://127.0.0.1:{server.port}/v1"
    command = ["node", NODE / "openai_realtime.mjs", url, certificate]
    finished = subprocess.run(
        command, check=True, input=audio_of(FLAGSHIP), stdout=subprocess.PIPE, timeout=PATIENCE_SECONDS
    )
    result = json.loads(finished.stdout)
    assert result["transcript"] == FLAGSHIP_TEXT
    delta = f"{TRANSCRIPTION}.delta"
    assert delta in result["types"]
    assert [kind for kind in result["types"] if kind != delta] == [  # words may come before the commit
        "session.created",
        "session.updated",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        f"{TRANSCRIPTION}.completed",
    ]
