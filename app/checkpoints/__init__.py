"""A model name or path -> the checkpoint that it means, whose contents have been checked."""

import os
from pathlib import Path

from app.checkpoints.checkpoint import Checkpoint
from app.checkpoints.packaged import PACKAGED, unpack
from app.checkpoints.published import (
    DEMO,
    DEMO_NOTICE,
    DEMO_PATH,
    DEMO_SHA256,
    RELEASES,
    Release,
    names_of,
)
from app.checkpoints.torch_file import (
    demo_checkpoint,
    local_checkpoint,
    model_dir,
    obtain,
    published_checkpoint,
    sha256_of,
)
from app.errors import CheckpointError
from app.settings import Settings

__all__ = [
    "DEMO",
    "DEMO_NOTICE",
    "DEMO_PATH",
    "DEMO_SHA256",
    "PACKAGED",
    "RELEASES",
    "Checkpoint",
    "Release",
    "model_dir",
    "names_of",
    "obtain",
    "resolve",
    "sha256_of",
    "unpack",
]


def resolve(settings: Settings, *, fetch: bool = True) -> Checkpoint:
    """The checkpoint that WHISPER_MODEL means; a published one is downloaded where it is missing.

    Reads the whole file. Without `fetch` no connection is opened. Raises CheckpointError, whose message
    says what to do.
    """
    if settings.model in RELEASES:
        return published_checkpoint(settings.model, settings, fetch=fetch)
    if settings.model == DEMO:
        return demo_checkpoint()
    path = Path(settings.model).expanduser().absolute()
    if not path.is_file():
        raise CheckpointError(_no_such_model(settings.model))
    return local_checkpoint(path)


def _no_such_model(model: str) -> str:
    advice = f"Set WHISPER_MODEL to the path of a .pt file or to one of: {', '.join(RELEASES)}, {DEMO}."
    if os.sep in model or model.endswith(".pt"):
        return f"WHISPER_MODEL is {model!r}, and there is no such file. {advice}"
    return f"WHISPER_MODEL is {model!r}, which is neither a known model nor a file. {advice}"
