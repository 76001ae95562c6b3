"""What a long recording costs, read off the worker's own high-water mark."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import GunicornServer

HOUR_SECONDS = 3600
MAX_MB = 290


def high_water_mb(server: GunicornServer) -> float:
    [worker] = server.workers
    status = Path(f"/proc/{worker}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


@pytest.mark.slow
def test_an_hour_costs_under_290_mb_above_the_idle_worker(start_server: StartServer, tmp_path: Path) -> None:
    """An hour of faint noise: decoded, listened to and its features computed, but nobody speaks."""
    recording = tmp_path / "hour.flac"
    source = f"anoisesrc=amplitude=0.0005:sample_rate=16000:duration={HOUR_SECONDS}"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-ac", "1", str(recording)], check=True
    )
    server = start_server().wait_until_ready()
    short = server.transcribe(Path("tests/data/flagship.wav"))
    assert short.json()["text"]
    idle = high_water_mb(server)
    answer = server.transcribe(recording, response_format="verbose_json")
    assert answer.json()["duration"] == HOUR_SECONDS
    assert answer.json()["text"] == ""
    assert high_water_mb(server) - idle < MAX_MB
