"""A request's deadline, and recordings that could not be done within it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import DATA, convert


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("deadline") / "server.log"
    with GunicornServer(log, WHISPER_REQUEST_SECONDS="1") as running:
        yield running.wait_until_ready()


def silent_hours(target: Path) -> Path:
    """14000 s of silence in few bytes."""
    sound = "apad=whole_dur=14000"
    return convert(DATA / "flagship.wav", target, "-af", sound, "-ar", "8000")


def error_of(answer: requests.Response) -> dict[str, str | None]:
    error: dict[str, str | None] = answer.json()["error"]
    return error


def test_a_request_ends_at_its_deadline(hasty: GunicornServer) -> None:
    """Every temperature is tried, each with sixteen rows, because no result is good enough."""
    toil = {"best_of": "16", "beam_size": "16", "logprob_threshold": "0", "language": "en"}
    answer = hasty.transcribe(DATA / "three_utterances.wav", **toil)
    assert answer.status_code == 504
    assert answer.headers["x-should-retry"] == "false"
    assert error_of(answer)["code"] == "request_timeout"
    assert "1 seconds" in str(error_of(answer)["message"])


def test_what_cannot_be_done_in_time_is_refused_at_once(hasty: GunicornServer, tmp_path: Path) -> None:
    hours = silent_hours(tmp_path / "hours.flac")
    answer = hasty.transcribe(hours)
    assert answer.status_code == 400
    error = error_of(answer)
    assert (error["param"], error["code"]) == ("file", "invalid_value")
    assert str(error["message"]).startswith("Audio duration 14000.0 seconds is longer than ")
    assert "at its present speed within the 1 seconds" in str(error["message"])
    assert "(WHISPER_REQUEST_SECONDS)" in str(error["message"])


@pytest.mark.parametrize("stream", ["false", "true"])
def test_clips_that_cannot_be_done_in_time_are_refused_at_once(hasty: GunicornServer, stream: str) -> None:
    """Each is a window, though all of them together are ten seconds."""
    clips = ",".join(f"{number / 100:g}" for number in range(2_048))
    answer = hasty.transcribe(DATA / "minute.flac", clip_timestamps=clips, stream=stream)
    assert answer.status_code == 400
    error = error_of(answer)
    assert (error["param"], error["code"]) == ("clip_timestamps", "invalid_value")
    assert "clips are at least as many windows of 30 seconds" in str(error["message"])
