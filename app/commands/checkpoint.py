"""`python -m app checkpoint`: lists, downloads and identifies weights."""

from pathlib import Path

from app.checkpoints import (
    DEMO,
    DEMO_NOTICE,
    DEMO_PATH,
    DEMO_SHA256,
    RELEASES,
    model_dir,
    names_of,
    obtain,
    sha256_of,
)
from app.checkpoints.download import mebibytes, part_of
from app.errors import CheckpointError
from app.settings import Settings

_FILES = {release.file: release.sha256 for release in RELEASES.values()} | {DEMO_PATH.name: DEMO_SHA256}


def show(settings: Settings) -> int:
    """Print a line for each file: names, file, size if present, state, and sha256."""
    folder = model_dir(settings)
    print(f"{folder}:")
    for file, sha256 in _FILES.items():
        path = DEMO_PATH if sha256 == DEMO_SHA256 else folder / file
        size, state = _size_and_state(path, sha256)
        print(f"{', '.join(names_of(sha256)):<22} {file:<18} {size:>11}  {state:<12} {sha256}")
    return 0


def _size_and_state(path: Path, sha256: str) -> tuple[str, str]:
    """Size and state of a file."""
    part = part_of(path)
    if path.exists():
        return mebibytes(path.stat().st_size), _verdict(path, sha256)
    return (mebibytes(part.stat().st_size), "incomplete") if part.exists() else ("", "missing")


def _verdict(path: Path, sha256: str) -> str:
    try:
        return "verified" if sha256_of(path) == sha256 else "WRONG SHA256"
    except CheckpointError:
        return "UNREADABLE"


def fetch(name: str, folder: Path | None, settings: Settings) -> int:
    """Download published weights to a folder and print how to serve them. Raises CheckpointError."""
    checkpoint = obtain(name, folder.expanduser().absolute() if folder else model_dir(settings), settings)
    print(f"{checkpoint.path} is {name}, its sha256 is right.")
    print(f"Serve it with: make serve WHISPER_MODEL={name} WHISPER_MODEL_DIR={checkpoint.path.parent}")
    return 0


def verify(path: Path) -> int:
    """Print which weights a file holds. Raises CheckpointError for a file that must not be served.

    Only unpublished weights are opened, and never a file with the name of published ones.
    """
    sha256 = sha256_of(path)
    if names := names_of(sha256):
        print(f"{path} is {', '.join(names)}, sha256 {sha256}{_notice(names)}")
        return 0
    if path.name in _FILES:
        raise CheckpointError(
            f"{path} has the name of published weights, but its sha256 is {sha256}, expected is "
            f"{_FILES[path.name]}. It was not opened. Delete it, or rename it if it is your own."
        )
    print(f"{path} holds unknown weights, sha256 {sha256}; {_dimensions(path)}")
    return 0


def _notice(names: tuple[str, ...]) -> str:
    return f" ({DEMO_NOTICE})" if DEMO in names else ""


def _dimensions(path: Path) -> str:
    from app.engines.whisper_checkpoint import dimensions  # noqa: PLC0415 (imports torch)

    sizes = ", ".join(f"{name} {size}" for name, size in dimensions(path).items())
    return f"opens with weights_only: {sizes}"
