"""The wall clock is set while requests run: an hour back, then three hours ahead of that."""

import json
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.functional.test_faults import begun_with_requests

MOVED = Path(__file__).parent / "moved_clock"
HOUR = 3600


class Clock:
    """A file that says how far the server's clock is off."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, seconds: int) -> None:
        """Replaced in one go, because it is read at any time."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._file)

    @property
    def environ(self) -> dict[str, str]:
        """What a server is started with."""
        return {"PYTHONPATH": str(MOVED), "CLOCK_OFFSET": str(self._file)}


def answered(server: GunicornServer) -> list[dict[str, Any]]:
    """The lines of requests, of which none took less than nothing or more than the minutes of a test."""
    lines = [json.loads(line) for line in server.log.splitlines()]
    found = [line for line in lines if line["message"] == "answered"]
    for line in found:
        assert 0 <= line["total_ms"] < HOUR * 1000
        assert 0 <= line["queue_ms"] < HOUR * 1000
    return found


def hours_off(line: dict[str, Any]) -> int:
    """How far the clock was from that of this process when a line was written."""
    written = datetime.fromisoformat(line["time"]).timestamp()
    return round((written - time.time()) / HOUR)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "offset")


@pytest.mark.slow
def test_the_clock_is_set_while_requests_run(start_server: StartServer, clock: Clock) -> None:
    server = start_server(WHISPER_LOG_FORMAT="json", **clock.environ).wait_until_ready()
    workers = server.workers
    assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
    with ExitStack() as held:
        for seconds in (-HOUR, 2 * HOUR):
            rest = held.enter_context(begun_with_requests(server))
            clock.set(seconds)
            assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
            assert server.get("/health").status_code == server.get("/ready").status_code == 200
            heard = rest()
            assert "transcript.text.done" in heard
            assert "See you tomorrow." in heard
    assert server.workers == workers
    assert server.stop() == 0
    assert {hours_off(line) for line in answered(server)} == {-1, 0, 2}
    assert "traceback" not in server.log
