"""python-requests, which Dify and many scripts of one's own are built on."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.functional.checked_clients import requests_session
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT, convert_to_pipe

PATH = "/v1/audio/transcriptions"
MODEL = {"model": "whisper-1"}


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


def post(session: requests.Session, server: GunicornServer, **request: Any) -> requests.Response:
    return session.post(server.url + PATH, timeout=PATIENCE_SECONDS, **request)


def test_part_without_content_type_and_with_a_lying_name(
    session: requests.Session, server: GunicornServer
) -> None:
    webm = convert_to_pipe(FLAGSHIP, "-c:a", "libopus", "-b:a", "96k", "-f", "webm")
    dify = {**MODEL, "language": "en", "prompt": "convert the audio to text"}
    request = requests.Request("POST", server.url + PATH, data=dify, files={"file": ("tmpab1c.mp3", webm)})
    prepared = session.prepare_request(request)
    assert b"Content-Type" not in prepared.body.split(webm)[0].split(b"tmpab1c.mp3")[1]
    answer = session.send(prepared, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["text"] == FLAGSHIP_TEXT


def test_chunked_upload(session: requests.Session, server: GunicornServer) -> None:
    whole = requests.Request("POST", server.url, data=MODEL, files={"file": FLAGSHIP.open("rb")})
    with whole.files["file"]:
        prepared = whole.prepare()
    body = io.BytesIO(prepared.body)
    pieces = iter(lambda: body.read(4_000), b"")
    headers = {"Content-Type": prepared.headers["Content-Type"]}
    answer = post(session, server, data=pieces, headers=headers)
    assert answer.request.headers["Transfer-Encoding"] == "chunked"
    assert answer.json()["text"] == FLAGSHIP_TEXT


@pytest.mark.parametrize(
    "granularities",
    [
        [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")],
        [("timestamp_granularities", "word"), ("timestamp_granularities", "segment")],
        [("timestamp_granularities", "word,segment")],
        [("timestamp_granularities[]", "word, segment")],
    ],
    ids=["brackets", "bare", "comma list", "comma list in brackets"],
)
def test_spellings_of_a_list(
    session: requests.Session, server: GunicornServer, granularities: list[tuple[str, str]]
) -> None:
    fields = [*MODEL.items(), ("response_format", "verbose_json"), *granularities]
    answer = post(session, server, data=fields, files={"file": FLAGSHIP.read_bytes()}).json()
    assert len(answer["words"]) == 11
    assert len(answer["segments"]) == 1


def test_file_before_the_fields(session: requests.Session, server: GunicornServer) -> None:
    parts = [("file", ("a.wav", FLAGSHIP.read_bytes())), ("model", (None, "whisper-1"))]
    assert post(session, server, files=parts).json()["text"] == FLAGSHIP_TEXT


def test_one_connection_serves_answers_and_refusals_in_turn(
    session: requests.Session, server: GunicornServer
) -> None:
    statuses = []
    for audio in (FLAGSHIP.read_bytes(), b"no audio" * 99, FLAGSHIP.read_bytes()):
        statuses.append(post(session, server, data=MODEL, files={"file": audio}).status_code)
    assert statuses == [200, 400, 200]
