"""Models that are unloaded as soon as nobody uses them, unless a request says otherwise."""

from collections.abc import Iterator

import pytest
import requests

from benchmarks.random_weights import TINY_TURBO, write
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.openai_spec import check_response

pytestmark = pytest.mark.slow

USER, ADMIN = "sk-user", "sk-admin"


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    folder = tmp_path_factory.mktemp("idle")
    write(folder / "random.pt", TINY_TURBO, tokens=5)
    settings = {
        "WHISPER_MODELS": f"other={folder / 'random.pt'}",
        "WHISPER_MODELS_PRELOAD": "other",
        "WHISPER_MODEL_IDLE_SECONDS": "0",
        "WHISPER_API_KEYS": USER,
        "WHISPER_ADMIN_KEYS": ADMIN,
    }
    with GunicornServer(folder / "server.log", **settings) as running:
        yield running.wait_until_ready()


def transcribe(server: GunicornServer, key: str, **fields: str) -> requests.Response:
    with FLAGSHIP.open("rb") as file:
        return requests.post(
            f"{server.url}/v1/audio/transcriptions",
            data={"model": "whisper-1", **fields},
            files={"file": file},
            headers={"Authorization": f"Bearer {key}"},
            hooks={"response": check_response},
            timeout=PATIENCE_SECONDS,
        )


def test_a_model_is_loaded_before_the_server_serves(idle: GunicornServer) -> None:
    assert idle.log.index("Loaded other on cpu") < idle.log.index("Serving demo on cpu")


def test_the_first_model_goes_too_and_comes_back(idle: GunicornServer) -> None:
    for _ in range(2):
        before = idle.log.count("Unloaded demo")
        answer = transcribe(idle, USER)
        assert (answer.status_code, answer.json()["text"]) == (200, FLAGSHIP_TEXT)
        idle.wait_for_log("Unloaded demo", before + 1)
        assert idle.get("/ready").status_code == 200


def test_a_request_keeps_its_model_or_lets_it_go(idle: GunicornServer) -> None:
    loaded = idle.log.count("Loaded other")
    assert transcribe(idle, USER, model="other", keep_alive="10m").status_code == 200
    assert transcribe(idle, USER, model="other").status_code == 200
    assert idle.log.count("Loaded other") == loaded + 1
    before = idle.log.count("Unloaded other")
    refused = transcribe(idle, USER, model="other", keep_alive="soon")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "keep_alive")
    assert transcribe(idle, ADMIN, model="other", keep_alive="0").status_code == 200
    idle.wait_for_log("Unloaded other", before + 1)
