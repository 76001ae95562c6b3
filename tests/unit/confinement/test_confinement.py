"""What is given up, seen from a process that has given it up."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from app import confinement
from app.confinement import __main__ as trial

ROOT = Path(__file__).resolve().parents[3]
PR_GET_DUMPABLE, PR_GET_PDEATHSIG = 3, 2

PROGRAM = """
import ctypes, json, resource, signal
from app import confinement
{what}
kernel = ctypes.CDLL(None)
death = ctypes.c_int()
kernel.prctl(2, ctypes.byref(death), 0, 0, 0)
print(json.dumps({{
    "dumpable": kernel.prctl(3, 0, 0, 0, 0),
    "death": death.value,
    "status": open("/proc/self/status").read(),
    "memory": resource.getrlimit(resource.RLIMIT_AS),
    "file": resource.getrlimit(resource.RLIMIT_FSIZE),
    "cpu": resource.getrlimit(resource.RLIMIT_CPU),
    "oom": open("/proc/self/oom_score_adj").read().strip(),
    "ignored": [name for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
                if signal.getsignal(getattr(signal, name)) == signal.SIG_IGN],
}}))
"""


def after(what: str, *options: str) -> dict[str, object]:
    command = [sys.executable, *options, "-c", PROGRAM.format(what=what)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_hidden_process() -> None:
    assert after("")["dumpable"] == 1
    assert after("confinement.hide_memory()")["dumpable"] == 0


def test_a_confined_process() -> None:
    found = after("confinement.confine(1 << 30, 4_096)", "-S")
    status = dict(line.split(":\t", 1) for line in str(found["status"]).splitlines() if ":\t" in line)
    assert {int(status[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    if os.geteuid() == 0:
        assert int(status["CapBnd"], 16) == 0
    assert (found["dumpable"], found["death"], found["oom"]) == (0, 9, "1000")
    assert found["file"] == [4_096, 4_096]
    soft, hard = found["memory"]  # type: ignore[misc]
    assert 1 << 30 < soft == hard < 2 << 30
    assert found["ignored"] == ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"]


def test_processor_time_is_counted_from_now() -> None:
    soft, hard = after("confinement.limit_cpu(7)")["cpu"]  # type: ignore[misc]
    assert 7 <= soft < 30
    assert hard == resource.getrlimit(resource.RLIMIT_CPU)[1]


def test_the_trial_that_the_doctor_makes() -> None:
    command = [sys.executable, "-m", "app.confinement"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("filtered", [False, True])
def test_the_trial_fails_where_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, filtered: bool) -> None:
    monkeypatch.setattr(trial, "confine", lambda memory_bytes, file_bytes: None)
    monkeypatch.setattr(trial, "filter_system_calls", lambda: filtered)
    assert trial.main() == 1


def test_elsewhere_than_on_linux_nothing_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(confinement, "_prctl", lambda option, value: pytest.fail("called"))
    confinement.hide_memory()
