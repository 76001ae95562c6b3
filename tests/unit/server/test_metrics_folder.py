"""Folders of counts, of masters that live, that were killed, and of somebody else."""

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config

from app.server import metrics_folder
from tests.unit.server.scripted import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[3]
MASTER = """
import os, sys
from gunicorn.config import Config
from app.server import metrics_folder
config = Config()
config.set("worker_tmp_dir", sys.argv[1])
folder = metrics_folder.create(config)
if sys.argv[2:] == ["fork"] and (child := os.fork()):
    print(folder, child, flush=True)
    os._exit(0)
elif sys.argv[2:] != ["fork"]:
    print(folder, os.getpid(), flush=True)
sys.stdin.read()
"""
"""A master, which ends when its standard input does. With `fork` its one child does so in its place."""

StartMaster = Callable[..., tuple[Path, int]]


@pytest.fixture
def start_master(tmp_path: Path) -> Iterator[StartMaster]:
    """Starts a process that has a folder in `tmp_path`; gives the folder and who holds it."""
    started: list[subprocess.Popen[str]] = []

    def start(*how: str) -> tuple[Path, int]:
        command = [sys.executable, "-c", MASTER, str(tmp_path), *how]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout
        folder, holder = process.stdout.readline().split()
        return Path(folder), int(holder)

    yield start
    for process in started:
        process.communicate()


@pytest.fixture
def at_exit(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    registered: list[Any] = []
    monkeypatch.setattr(metrics_folder.atexit, "register", registered.append)
    return registered


def create(parent: Path) -> Path:
    config = Config()
    config.set("worker_tmp_dir", str(parent))
    return metrics_folder.create(config)


def kill(holder: int) -> None:
    """And wait until it has let go of its files."""
    descriptor = os.pidfd_open(holder)
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    assert select.select([descriptor], [], [], PATIENCE_SECONDS)[0]
    os.close(descriptor)


def test_the_folder_goes_with_its_master_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at_exit: list[Any]
) -> None:
    folder = create(tmp_path)
    [remove] = at_exit
    master = os.getpid()
    monkeypatch.setattr(metrics_folder.os, "getpid", lambda: master + 1)
    remove()
    assert folder.is_dir()
    monkeypatch.setattr(metrics_folder.os, "getpid", lambda: master)
    remove()
    assert not folder.exists()


def test_a_master_that_ends_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MASTER, str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, input="", capture_output=True, text=True, check=True)
    assert ended.stdout.startswith(f"{tmp_path}/whisper-metrics-")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_empty_but_for_its_lock(tmp_path: Path, at_exit: list[Any]) -> None:
    """Prometheus's files alone would be summed up."""
    assert [path.suffix for path in create(tmp_path).iterdir()] == [""]


def test_instances_have_folders_of_their_own(tmp_path: Path, at_exit: list[Any]) -> None:
    one, other = create(tmp_path), create(tmp_path)
    assert one != other
    assert one.is_dir()
    assert other.is_dir()


def test_a_living_masters_folder_stays_until_it_is_killed(
    start_master: StartMaster, tmp_path: Path, at_exit: list[Any]
) -> None:
    folder, holder = start_master()
    create(tmp_path)
    assert folder.is_dir()
    kill(holder)
    assert folder.is_dir()
    create(tmp_path)
    assert not folder.exists()


def test_a_folder_stays_while_a_child_of_its_master_lives(
    start_master: StartMaster, tmp_path: Path, at_exit: list[Any]
) -> None:
    folder, child = start_master("fork")
    create(tmp_path)
    assert folder.is_dir()
    kill(child)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while folder.exists():  # the kernel may take a moment to let go of a dead process's lock
        assert time.monotonic() < deadline
        create(tmp_path)


def test_programs_that_a_master_starts_do_not_hold_its_folder(tmp_path: Path, at_exit: list[Any]) -> None:
    """A decoder that outlives its server for a moment, or a second master, would keep it for nothing."""
    folder = create(tmp_path)
    for descriptor in Path("/proc/self/fd").iterdir():
        if descriptor.exists() and descriptor.resolve().parent == folder:
            assert not os.get_inheritable(int(descriptor.name))
            break
    else:
        pytest.fail("nobody holds the lock")


def test_what_is_somebody_elses_stays(tmp_path: Path, at_exit: list[Any]) -> None:
    no_lock = tmp_path / "whisper-metrics-starting"
    other_name = tmp_path / "metrics"
    for folder in (no_lock, other_name):
        folder.mkdir()
    (other_name / "lock").touch()
    (tmp_path / "whisper-metrics-file").touch()
    create(tmp_path)
    assert no_lock.is_dir()
    assert (other_name / "lock").is_file()
    assert (tmp_path / "whisper-metrics-file").is_file()


def test_what_may_not_be_read_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at_exit: list[Any]
) -> None:
    folder = tmp_path / "whisper-metrics-foreign"
    folder.mkdir()
    (folder / "lock").touch()
    really = os.open

    def refuse(path: Any, *how: Any) -> int:
        if Path(path).parent == folder:
            raise PermissionError
        return really(path, *how)

    monkeypatch.setattr(metrics_folder.os, "open", refuse)
    create(tmp_path)
    assert folder.is_dir()


def test_a_lock_has_its_name_only_once_it_is_held(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at_exit: list[Any]
) -> None:
    """Otherwise a master that starts at the same moment would remove the folder."""
    named: list[list[str]] = []
    really = fcntl.flock

    def lock(descriptor: int, how: int) -> None:
        named.append([path.name for path in tmp_path.glob("*/lock")])
        really(descriptor, how)

    monkeypatch.setattr(metrics_folder.fcntl, "flock", lock)
    folder = create(tmp_path)
    assert named == [[]]
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_nobody_can_lead_the_sweep_astray(tmp_path: Path, at_exit: list[Any]) -> None:
    """The folder is shared with all users of the machine."""
    valuable = tmp_path / "valuable"
    valuable.mkdir()
    (valuable / "lock").touch()
    (tmp_path / "whisper-metrics-link").symlink_to(valuable)
    pipe = tmp_path / "whisper-metrics-pipe"
    pipe.mkdir()
    os.mkfifo(pipe / "lock")
    create(tmp_path)
    assert (valuable / "lock").is_file()
