"""What weights are known by: the sha256 of a file, or of a folder's files together."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from app.errors import CheckpointError


def sha256_of(path: Path) -> str:
    """The sha256 of a whole file, in hexadecimal. Raises CheckpointError if it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"The model file {path} can't be read ({error.strerror}). "
            "Make it readable for the server's user, or set WHISPER_MODEL to another file."
        ) from error


def sha256_of_all(paths: Iterable[Path]) -> str:
    """One sha256 for files of a folder: that of what `sha256sum NAME ...` prints, the names in byte order."""
    lines = (f"{sha256_of(path)}  {path.name}\n" for path in sorted(paths, key=lambda path: path.name))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
