"""The first minutes of the hour that `benchmarks/soak.py` stands for."""

import subprocess
import sys

import pytest

from tests.functional.gunicorn_server import ROOT, environment

CI_MINUTES = 2
"""Sends what comes in so many minutes, and ends after them at the latest."""


def soak(minutes: float) -> str:
    command = [sys.executable, "-m", "benchmarks", "soak", "--minutes", str(minutes)]
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60 * minutes + 240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_minutes_of_mixed_traffic_leave_nothing_behind() -> None:
    report = soak(CI_MINUTES)
    assert "Nothing was wrong." in report
    assert "malformed" in report
    assert "chat stream" in report


@pytest.mark.long
@pytest.mark.timeout(6000)
def test_an_hour_of_it() -> None:
    assert "Nothing was wrong." in soak(60)
