"""`audio_context=short` through the front door: a text all the same, and an answer that says what it is."""

import pytest
import requests

from tests.functional.checked_clients import requests_session
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT, MODEL_NOTICE

NOTICE = f"{MODEL_NOTICE}; short audio context, no longer exact"


def ask(server: GunicornServer, **fields: str) -> requests.Response:
    with requests_session() as session:
        return session.post(
            f"{server.url}/v1/audio/transcriptions",
            data={"model": "whisper-1", **fields},
            files={"file": FLAGSHIP.read_bytes()},
            timeout=PATIENCE_SECONDS,
        )


@pytest.mark.parametrize("fields", [{"language": "en"}, {}], ids=["language given", "detected"])
def test_a_short_recording_is_heard_in_it(server: GunicornServer, fields: dict[str, str]) -> None:
    answer = ask(server, audio_context="short", **fields)
    assert answer.json()["text"] == FLAGSHIP_TEXT
    assert answer.headers["x-model-notice"] == NOTICE


def test_its_words_have_their_times(server: GunicornServer) -> None:
    words = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    short, full = (ask(server, audio_context=context, **words) for context in ("short", "full"))
    assert (short.headers["x-model-notice"], full.headers["x-model-notice"]) == (NOTICE, MODEL_NOTICE)
    spoken, expected = (answer.json()["words"] for answer in (short, full))
    assert [word["word"] for word in spoken] == [word["word"] for word in expected]
    for word, usual in zip(spoken, expected, strict=True):
        assert abs(word["start"] - usual["start"]) < 0.5


def test_what_is_neither_full_nor_short_is_refused(server: GunicornServer) -> None:
    answer = ask(server, audio_context="768")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("audio_context", "invalid_value")
