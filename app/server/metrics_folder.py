"""The folder of one master's workers: their counts for Prometheus, and their sockets for each other."""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gunicorn.config import Config

_PREFIX = "whisper-metrics-"
_LOCK = "lock"
_NEW_LOCK = "new"


def create(cfg: Config) -> Path:
    """Create an empty folder for the counts of this master's workers. It is removed when the master ends.

    Each instance has its own, and so has the second master that SIGUSR2 starts: it counts from zero.
    Folders of masters that were killed are removed here.
    """
    parent = Path(cfg.worker_tmp_dir or tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        _remove_if_left(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    os.chown(folder, cfg.uid, cfg.gid)
    # The lock is held until this process and all its children have ended, however they end.
    # The file is renamed once it is locked: unlocked, another master would take the folder for a dead one's.
    fcntl.flock(os.open(folder / _NEW_LOCK, os.O_CREAT | os.O_RDONLY, 0o600), fcntl.LOCK_SH)
    (folder / _NEW_LOCK).rename(folder / _LOCK)
    master = os.getpid()

    def remove() -> None:
        if os.getpid() == master:  # workers inherit this
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def _remove_if_left(folder: Path) -> None:
    """Remove a folder that no living process has locked. Other users' folders and new ones are kept."""
    with suppress(OSError), _locked(folder / _LOCK):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Raises OSError where there is no file, or where a living process holds it."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # a pipe of that name would block
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
