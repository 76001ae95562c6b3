"""POST /v1/audio/translations: whatever is spoken, in English."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.functional.checked_clients import requests_session
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT, MODEL_NOTICE, silence

GERMAN = DATA / "german.wav"
ENGLISH_TEXT = EXPECTED["german.wav"]["translation"]
CUE = "00:00:00{mark}000 --> 00:00:01{mark}620\n" + ENGLISH_TEXT + "\n\n"


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


def translate(
    session: requests.Session, server: GunicornServer, recording: Path | bytes = GERMAN, **fields: str
) -> requests.Response:
    audio = recording.read_bytes() if isinstance(recording, Path) else recording
    return session.post(
        f"{server.url}/v1/audio/translations",
        data={"model": "whisper-1", **fields},
        files={"file": ("speech", audio)},
        timeout=PATIENCE_SECONDS,
    )


@pytest.mark.parametrize(
    ("form", "content_type", "body"),
    [
        ("text", "text/plain; charset=utf-8", f"{ENGLISH_TEXT}\n"),
        ("srt", "text/plain; charset=utf-8", "1\n" + CUE.format(mark=",")),
        ("vtt", "text/plain; charset=utf-8", "WEBVTT\n\n" + CUE.format(mark=".")),
    ],
)
def test_plain_formats(
    session: requests.Session, server: GunicornServer, form: str, content_type: str, body: str
) -> None:
    answer = translate(session, server, response_format=form)
    assert answer.headers["Content-Type"] == content_type
    assert answer.text == body


@pytest.mark.parametrize("form", ["", "json"])
def test_json(session: requests.Session, server: GunicornServer, form: str) -> None:
    answer = translate(session, server, response_format=form)
    assert answer.json() == {"text": ENGLISH_TEXT, "usage": {"type": "duration", "seconds": 2}}
    assert answer.headers["x-model-notice"] == MODEL_NOTICE


def test_verbose_json(session: requests.Session, server: GunicornServer) -> None:
    answer = translate(session, server, response_format="verbose_json").json()
    assert (answer["task"], answer["language"], answer["text"]) == ("translate", "english", ENGLISH_TEXT)
    assert [segment["text"] for segment in answer["segments"]] == [f" {ENGLISH_TEXT}"]


def test_the_spoken_language_and_whispers_options(session: requests.Session, server: GunicornServer) -> None:
    answer = translate(session, server, language="German", beam_size="2", prompt="A proverb.")
    assert answer.json()["text"] == ENGLISH_TEXT


def test_english_stays_english(session: requests.Session, server: GunicornServer) -> None:
    assert translate(session, server, FLAGSHIP).json()["text"] == FLAGSHIP_TEXT


def test_silence_is_an_answer(session: requests.Session, server: GunicornServer) -> None:
    answer = translate(session, server, silence(2.0), response_format="verbose_json").json()
    assert (answer["text"], answer["language"], answer["segments"]) == ("", "english", [])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "diarized_json"}, "response_format"),
        ({"temperature": "2"}, "temperature"),
        ({"language": "klingon"}, "language"),
    ],
)
def test_bad_requests(
    session: requests.Session, server: GunicornServer, fields: dict[str, str], param: str
) -> None:
    answer = translate(session, server, **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
