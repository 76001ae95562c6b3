"""A model name or path -> the checkpoint that it means, whose contents have been checked; without torch."""

import re
from pathlib import Path
from typing import Protocol

from app.checkpoints import ctranslate2, huggingface, torch_file
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
from app.checkpoints.sha256 import sha256_of
from app.checkpoints.torch_file import demo_checkpoint, model_dir, obtain, published_checkpoint
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
    "found_at",
    "model_dir",
    "names_of",
    "obtain",
    "resolve",
    "sha256_of",
    "unpack",
]


class FormatModule(Protocol):
    """A module for one format of weights."""

    def claims(self, path: Path) -> bool:
        """Whether an existing path is for this format to check."""

    def checkpoint(self, path: Path) -> Checkpoint:
        """The checkpoint in a file or folder. Raises CheckpointError."""


FORMATS: tuple[FormatModule, ...] = (ctranslate2, huggingface, torch_file)
"""The first one that claims a path checks it and makes a Checkpoint of it."""

_BRING = "Set WHISPER_MODEL to the path of a .pt file, a Hugging Face or a CTranslate2 folder, or to one of:"


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
    if not path.exists():
        raise CheckpointError(_no_such_model(settings.model))
    return found_at(path)


def found_at(path: Path) -> Checkpoint:
    """The checkpoint in a file or a folder. Raises CheckpointError."""
    path = path.expanduser().absolute()
    claiming = next(format for format in FORMATS if format.claims(path))
    return claiming.checkpoint(path)


def _no_such_model(model: str) -> str:
    if re.fullmatch(r"[\w.-]+/[\w.-]+", model) and not model.endswith((".pt", huggingface.SUFFIX)):
        return (
            f"WHISPER_MODEL is {model!r}, and there is no such file or folder; nothing is fetched from the "
            "Hugging Face hub, so bring that model's folder (config.json, generation_config.json, "
            "model.safetensors) and set WHISPER_MODEL to its path."
        )
    advice = f"{_BRING} {', '.join(RELEASES)}, {DEMO}."
    if "/" in model or model.endswith((".pt", huggingface.SUFFIX)):
        return f"WHISPER_MODEL is {model!r}, and there is no such file or folder. {advice}"
    return f"WHISPER_MODEL is {model!r}, which is neither a known model nor a file or folder. {advice}"
