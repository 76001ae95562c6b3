"""Weights in one file of PyTorch's (.pt), known by the sha256 of the whole file; nothing here opens it."""

from pathlib import Path

from app.checkpoints.checkpoint import Checkpoint
from app.checkpoints.download import download, masked
from app.checkpoints.published import DEMO, DEMO_PATH, DEMO_SHA256, RELEASES, Release, names_of
from app.checkpoints.sha256 import sha256_of
from app.errors import CheckpointError, DownloadFailed
from app.settings import Settings

_WHISPER_CPP = b"lmgg"


def model_dir(settings: Settings) -> Path:
    """Where named checkpoints are looked for and downloaded to."""
    folder = Path(settings.model_dir) if settings.model_dir else Path(settings.cache_home) / "whisper"
    return folder.expanduser().absolute()


def published_checkpoint(name: str, settings: Settings, *, fetch: bool) -> Checkpoint:
    """A published checkpoint in `model_dir`, downloaded if it is missing and `fetch` allows it.

    Raises CheckpointError.
    """
    folder = model_dir(settings)
    path = folder / RELEASES[name].file
    if not fetch and not path.exists():
        raise CheckpointError(
            f"The model '{name}' is not at {path}. "
            f"Fetch it with: python -m app checkpoint fetch {name} --to {folder}"
        )
    return obtain(name, folder, settings)


def obtain(name: str, folder: Path, settings: Settings) -> Checkpoint:
    """A published checkpoint in a folder, downloaded if it is not there. Raises CheckpointError."""
    release = RELEASES[name]
    path = folder / release.file
    if path.exists():
        _check(name, path, release)
    else:
        _fetch(name, path, release, settings)
    return Checkpoint(name, path, release.sha256)


def demo_checkpoint() -> Checkpoint:
    """The demo model of the repository. Raises CheckpointError."""
    sha256 = sha256_of(DEMO_PATH)
    if sha256 != DEMO_SHA256:
        raise CheckpointError(
            f"{DEMO_PATH} is not the demo model: its sha256 is {sha256}, expected is {DEMO_SHA256}. "
            "Restore it from the repository with: git checkout models/demo.pt"
        )
    return Checkpoint(DEMO, DEMO_PATH, sha256)


def claims(path: Path) -> bool:
    """Whether it is a file: one of another format would have been claimed before."""
    return not path.is_dir()


def checkpoint(path: Path) -> Checkpoint:
    """The weights in any file; known ones keep their name. Raises CheckpointError if it can't be read."""
    _require_no_other_format(path)
    sha256 = sha256_of(path)
    return Checkpoint(next(iter(names_of(sha256)), path.stem), path, sha256)


def _require_no_other_format(path: Path) -> None:
    if path.suffix == ".bin" and (path.parent / "config.json").is_file():
        raise CheckpointError(
            f"{path} is a part of the folder {path.parent}, which is needed as a whole; "
            f"set WHISPER_MODEL={path.parent}"
        )
    if _begins_with(path, _WHISPER_CPP):
        raise CheckpointError(
            f"{path} was made for whisper.cpp, whose format is not read here; bring the model as .pt, as a "
            "folder with config.json and model.safetensors, or as a CTranslate2 folder."
        )


def _begins_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False  # sha256_of says what is wrong


def _check(name: str, path: Path, release: Release) -> None:
    sha256 = sha256_of(path)
    if sha256 != release.sha256:
        raise CheckpointError(
            f"{path} is not the model '{name}': its sha256 is {sha256}, expected is {release.sha256}. "
            f"Delete it to have it downloaded again, or put a good copy of {release.url} in its place; "
            f"for weights of your own set WHISPER_MODEL={path}"
        )


def _fetch(name: str, path: Path, release: Release, settings: Settings) -> None:
    url = release.url_at(settings.hub)
    try:
        download(url, path, release.sha256, settings.ca_file)
    except DownloadFailed as failure:
        raise CheckpointError(
            f"The model '{name}' is not at {path} and its download failed: {failure} "
            f"Or fetch {masked(url)} on a machine that reaches it and put it at {path} "
            f"(sha256 {release.sha256}), set WHISPER_MODEL=/path/to/model.pt for a file elsewhere, "
            "or set WHISPER_MODEL=demo to try the server with a toy model."
        ) from failure
