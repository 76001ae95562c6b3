"""stream=true on the wire: text while the rest is being heard, and no work for who has left."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.functional.checked_clients import requests_session
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT, convert
from tests.openai_spec import conforming

SAMPLES = ["flagship.wav", "three_utterances.wav", "german.wav", "minute.flac"]


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


def post(
    session: requests.Session, server: GunicornServer, recording: Path, **fields: str
) -> requests.Response:
    with recording.open("rb") as file:
        return session.post(
            f"{server.url}/v1/audio/transcriptions",
            data={"model": "whisper-1", **fields},
            files={"file": file},
            stream=True,
            timeout=PATIENCE_SECONDS,
        )


def events_of(response: requests.Response) -> Iterator[dict]:
    """Read as it comes, the way Dify does: frames end at two line feeds, a comment is no event."""
    for frame in response.iter_lines(chunk_size=None, delimiter=b"\n\n"):
        if frame and not frame.startswith(b":"):
            event = json.loads(frame.removeprefix(b"data:"))
            yield conforming("transcription_stream_event", event)


@pytest.mark.parametrize("chunking", ["", "auto"], ids=["in order", "in pieces"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_the_deltas_are_the_text_of_the_whole_answer(
    session: requests.Session, server: GunicornServer, sample: str, chunking: str
) -> None:
    asked = {"chunking_strategy": chunking}
    whole = post(session, server, DATA / sample, **asked).json()["text"]
    *deltas, done = events_of(post(session, server, DATA / sample, stream="true", **asked))
    assert whole
    assert "".join(event["delta"] for event in deltas) == done["text"] == whole


def test_text_streams_like_json(session: requests.Session, server: GunicornServer) -> None:
    *_, done = events_of(post(session, server, FLAGSHIP, stream="true", response_format="text"))
    assert done["text"] == FLAGSHIP_TEXT


@pytest.mark.parametrize("fields", [{"language": "klingon"}, {"model": "gpt-4"}, {"response_format": "srt"}])
def test_refusals_keep_their_status(
    session: requests.Session, server: GunicornServer, fields: dict[str, str]
) -> None:
    answer = post(session, server, FLAGSHIP, stream="true", **fields)
    assert answer.status_code in (400, 404)
    assert answer.headers["Content-Type"] == "application/json"


def cpu_seconds(server: GunicornServer) -> float:
    """What the worker has computed since it was started."""
    [worker] = server.workers
    fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def settled_cpu_seconds(server: GunicornServer) -> float:
    """The same, once it computes nothing any more."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    last = -1.0
    while (now := cpu_seconds(server)) - last > 0.05:
        assert time.monotonic() < deadline, "the worker never comes to rest"
        last = now
        time.sleep(1)
    return now


def test_ten_minutes_are_told_while_they_are_heard(
    session: requests.Session, server: GunicornServer, tmp_path: Path
) -> None:
    """Counted in the worker's own seconds: most come after the first event, few after a client left."""
    minutes = convert(DATA / "minute.flac", tmp_path / "minutes.flac", "-af", "aloop=loop=9:size=2e9")
    started = settled_cpu_seconds(server)
    with post(session, server, minutes, stream="true") as response:
        assert next(events_of(response))["type"] == "transcript.text.delta"
    left = cpu_seconds(server)
    dropped = settled_cpu_seconds(server)
    *deltas, done = events_of(post(session, server, minutes, stream="true"))
    assert done["usage"]["input_token_details"]["audio_tokens"] > 6_000
    assert len(deltas) > 20
    whole = cpu_seconds(server) - dropped
    assert left - started < whole / 2
    assert dropped - left < whole / 4
    assert "Traceback" not in server.log
