"""A model name or path -> one checkpoint file whose sha256 has been checked.

Knows openai-whisper's published files without importing it, so that the master process can ask.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from app.download import download, masked
from app.errors import CheckpointError, DownloadFailed
from app.settings import Settings

DEMO = "demo"
DEMO_NOTICE = "demo model, not for human speech"
DEMO_PATH = Path(__file__).resolve().parent.parent / "models" / "demo.pt"
DEMO_SHA256 = "05ce170a64ae2941719bf82a91dce7fdd338be666be08255d059c5ba7b19c4cf"


@dataclass(frozen=True)
class Release:
    """A file that OpenAI has published."""

    file: str
    sha256: str

    @property
    def url(self) -> str:
        """Where openai-whisper downloads it from."""
        return self.url_at(Settings.hub)

    def url_at(self, hub: str) -> str:
        """Where a copy of OpenAI's folder at another address has it."""
        return f"{hub.rstrip('/')}/{self.sha256}/{self.file}"


_LARGE_V3 = Release("large-v3.pt", "e5b1a55b89c1367dacf97e3e19bfd829a01529dbfdeefa8caeb59b3f1b81dadb")
_TURBO = Release("large-v3-turbo.pt", "aff26ae408abcba5fbf8813c21e62b0941638c5f6eebfb145be0c9839262a19a")

RELEASES = {
    "tiny.en": Release("tiny.en.pt", "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03"),
    "tiny": Release("tiny.pt", "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9"),
    "base.en": Release("base.en.pt", "25a8566e1d0c1e2231d1c762132cd20e0f96a85d16145c3a00adf5d1ac670ead"),
    "base": Release("base.pt", "ed3a0b6b1c0edf879ad9b11b1af5a0e6ab5db9205f891f668f8b0e6c6326e34e"),
    "small.en": Release("small.en.pt", "f953ad0fd29cacd07d5a9eda5624af0f6bcf2258be67c92b79389873d91e0872"),
    "small": Release("small.pt", "9ecf779972d90ba49c06d968637d720dd632c55bbf19d441fb42bf17a411e794"),
    "medium.en": Release("medium.en.pt", "d7440d1dc186f76616474e0ff0b3b6b879abc9d1a4926b7adfa41db2d497ab4f"),
    "medium": Release("medium.pt", "345ae4da62f9b3d59415adc60127b97c714f32e89e936602e85993674d08dcb1"),
    "large-v1": Release("large-v1.pt", "e4b87e7e0bf463eb8e6956e646f1e277e901512310def2c24bf0e11bd3c28e9a"),
    "large-v2": Release("large-v2.pt", "81f7c96c852ee8fc832187b0132e569d6c3065a3252ed18e56effd0b6a73e524"),
    "large-v3": _LARGE_V3,
    "large": _LARGE_V3,
    "large-v3-turbo": _TURBO,
    "turbo": _TURBO,
}
"""openai-whisper's names and their files; a test holds this equal to its own table."""


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights that is known by its contents.

    `name` is openai-whisper's for a published file and `demo` for the demo model, wherever the file
    lies; for any other file it is the file's stem.
    """

    name: str
    path: Path
    sha256: str

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of these weights; `turbo` and `large-v3-turbo` are one file."""
        return names_of(self.sha256) or (self.name,)

    @property
    def alignment_heads(self) -> str | None:
        """The key of openai-whisper's alignment heads; None: those it takes for unknown files."""
        return self.name if self.name in RELEASES else None

    @property
    def is_demo(self) -> bool:
        """True for the demo model, which is a toy."""
        return self.sha256 == DEMO_SHA256

    @property
    def owner(self) -> str:
        """Who made these weights: OpenAI, this project or whoever runs the server."""
        if self.is_demo:
            return "tiny-openai-whisper-api"
        return "openai" if names_of(self.sha256) else "local"

    @property
    def notice(self) -> str | None:
        """What everybody who gets an answer of this model must be told."""
        return DEMO_NOTICE if self.is_demo else None


def resolve(settings: Settings, *, fetch: bool = True) -> Checkpoint:
    """The checkpoint that WHISPER_MODEL means; a published one is downloaded where it is missing.

    Reads the whole file. Without `fetch` no connection is opened. Raises CheckpointError, whose message
    says what to do.
    """
    if settings.model in RELEASES:
        return _published(settings.model, settings, fetch=fetch)
    if settings.model == DEMO:
        return _demo(DEMO_PATH)
    return _own(settings.model)


def model_dir(settings: Settings) -> Path:
    """Where named checkpoints are looked for and downloaded to."""
    folder = Path(settings.model_dir) if settings.model_dir else Path(settings.cache_home) / "whisper"
    return folder.expanduser().absolute()


def obtain(name: str, folder: Path, settings: Settings) -> Checkpoint:
    """A published checkpoint in a folder, downloaded if it is not there. Raises CheckpointError."""
    release = RELEASES[name]
    path = folder / release.file
    if path.exists():
        _check(name, path, release)
    else:
        _fetch(name, path, release, settings)
    return Checkpoint(name, path, release.sha256)


def names_of(sha256: str) -> tuple[str, ...]:
    """What weights are called that this program knows; nothing for others."""
    if sha256 == DEMO_SHA256:
        return (DEMO,)
    return tuple(name for name, release in RELEASES.items() if release.sha256 == sha256)


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


def _published(name: str, settings: Settings, *, fetch: bool) -> Checkpoint:
    folder = model_dir(settings)
    path = folder / RELEASES[name].file
    if not fetch and not path.exists():
        raise CheckpointError(
            f"The model '{name}' is not at {path}. "
            f"Fetch it with: python -m app checkpoint fetch {name} --to {folder}"
        )
    return obtain(name, folder, settings)


def _check(name: str, path: Path, release: Release) -> None:
    found = sha256_of(path)
    if found != release.sha256:
        raise CheckpointError(
            f"{path} is not the model '{name}': its sha256 is {found}, expected is {release.sha256}. "
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


def _demo(path: Path) -> Checkpoint:
    found = sha256_of(path)
    if found != DEMO_SHA256:
        raise CheckpointError(
            f"{path} is not the demo model: its sha256 is {found}, expected is {DEMO_SHA256}. "
            "Restore it from the repository with: git checkout models/demo.pt"
        )
    return Checkpoint(DEMO, path, found)


def _own(model: str) -> Checkpoint:
    path = Path(model).expanduser().absolute()
    if not path.is_file():
        raise CheckpointError(_no_such_model(model))
    found = sha256_of(path)
    return Checkpoint(next(iter(names_of(found)), path.stem), path, found)


def _no_such_model(model: str) -> str:
    advice = f"Set WHISPER_MODEL to the path of a .pt file or to one of: {', '.join(RELEASES)}, {DEMO}."
    if os.sep in model or model.endswith(".pt"):
        return f"WHISPER_MODEL is {model!r}, and there is no such file. {advice}"
    return f"WHISPER_MODEL is {model!r}, which is neither a known model nor a file. {advice}"
