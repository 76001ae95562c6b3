"""Where the workers of one master keep their counts for Prometheus."""

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
    """An empty folder for the counts of this master's workers, which goes when the master goes.

    Another instance has another, and so has the second master that SIGUSR2 starts: it counts from zero.
    Folders of masters that were killed are removed.
    """
    parent = Path(cfg.worker_tmp_dir or tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        _remove_if_left(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    os.chown(folder, cfg.uid, cfg.gid)
    # Held by this process and its children until the last of them has ended, whatever it dies of.
    # It gets its name only then: a master that starts meanwhile would take it for a dead one's.
    fcntl.flock(os.open(folder / _NEW_LOCK, os.O_CREAT | os.O_RDONLY, 0o600), fcntl.LOCK_SH)
    (folder / _NEW_LOCK).rename(folder / _LOCK)
    master = os.getpid()

    def remove() -> None:
        if os.getpid() == master:  # workers inherit this
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def _remove_if_left(folder: Path) -> None:
    """Remove a folder that no living process holds; somebody else's, or a starting one's, is left alone."""
    with suppress(OSError), _locked(folder / _LOCK):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Raises OSError where there is no file, or where a living process holds it."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # somebody's pipe of that name would block
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
