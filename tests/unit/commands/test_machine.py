"""Python, packages, cores and space."""

import os
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.commands import machine
from app.settings import Settings


def test_this_python_is_new_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.python().state == "OK"
    monkeypatch.setattr(machine, "_OLDEST_PYTHON", (99, 0))
    assert machine.python().state == "FAIL"


def requirements(folder: Path, text: str) -> Path:
    path = folder / "requirements.txt"
    path.write_text(text)
    return path


def test_packages_as_pinned(tmp_path: Path) -> None:
    text = f'# all\n-c other.txt\nFlask=={version("flask")}  # web\nabsent==1 ; sys_platform == "plan9"\n'
    row = machine.packages(requirements(tmp_path, text))
    assert row.state == "OK"
    assert row.finding.startswith("all 1 as ")


def test_a_build_for_the_cpu_is_the_same_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "version", lambda name: "2.13.0+cpu")
    assert machine.packages(requirements(tmp_path, "torch==2.13.0")).state == "OK"


def test_packages_that_differ(tmp_path: Path) -> None:
    path = requirements(tmp_path, "Flask==0.1\nno-such-package==1.0\n")
    row = machine.packages(path)
    assert row.state == "FAIL"
    assert row.finding == f"Flask is {version('flask')} instead of ==0.1; no-such-package is missing"
    assert row.advice == f"pip install -r {path}"


def test_without_requirements_nothing_is_compared(tmp_path: Path) -> None:
    row = machine.packages(tmp_path / "none.txt")
    assert row.state == "WARN"
    assert "can't be read" in row.finding


@pytest.mark.parametrize(
    ("threads", "quota", "state"),
    [(1, "max 100000", "OK"), (1, "100000 100000", "OK"), (2, "150000 100000", "WARN"), (9999, None, "WARN")],
)
def test_threads_have_a_core_each(tmp_path: Path, threads: int, quota: str | None, state: str) -> None:
    if quota:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert machine.threads(Settings(threads=threads), tmp_path / "cpu.max").state == state


def test_one_thread_per_core_is_too_many_in_a_small_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    row = machine.threads(Settings(), tmp_path / "cpu.max")
    assert row.finding == "64 for each worker, 1 cores to run on"
    assert row.advice == "Set WHISPER_THREADS=1."


@pytest.mark.parametrize(("free_mb", "state"), [(3200, "OK"), (3199, "WARN"), (100, "WARN"), (99, "FAIL")])
def test_space_for_uploads(monkeypatch: pytest.MonkeyPatch, free_mb: int, state: str) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free_mb * 2**20))
    row = machine.temp_space(Settings(max_upload_mb=100))
    assert row.state == state
    assert "32 uploads at once take 3,200.0 MiB" in row.finding


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(machine.tempfile, "gettempdir", none)
    assert machine.temp_space(Settings()).state == "FAIL"


def test_a_confined_process_is_tried() -> None:
    assert machine.confinement().state == "OK"


def test_a_machine_without_a_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    row = machine.confinement()
    assert row.state == "WARN"
    assert row.finding.startswith("no filter of system calls here (")
