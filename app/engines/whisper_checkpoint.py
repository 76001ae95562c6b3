"""A verified file of weights -> openai-whisper's own model."""

import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import whisper
from whisper import _ALIGNMENT_HEADS, ModelDimensions

from app.checkpoints import Checkpoint
from app.errors import CheckpointError


def load_whisper(checkpoint: Checkpoint, device: str) -> Any:
    """The `whisper.model.Whisper` of a checkpoint, with the alignment heads published for it.

    Raises CheckpointError where the file is no Whisper checkpoint.
    """
    try:
        model = whisper.load_model(str(checkpoint.path), device=device)
    except Exception as error:
        raise CheckpointError(
            f"{checkpoint.path} can't be loaded as a Whisper checkpoint on {device}: {error}"
        ) from error
    if checkpoint.alignment_heads is not None:
        model.set_alignment_heads(_ALIGNMENT_HEADS[checkpoint.alignment_heads])
    return model.eval()


def dimensions(path: Path) -> dict[str, int]:
    """The sizes that a file of weights gives for its model, read without running anything in it.

    Raises CheckpointError where the file is no Whisper checkpoint.
    """
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=_can_be_mapped(path))
        if not contents["model_state_dict"]:
            raise ValueError("it has no weights")
        return asdict(ModelDimensions(**contents["dims"]))
    except Exception as error:
        # torch's own advice is to load the file with weights_only=False: the worst one for a foreign file.
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise CheckpointError(
            f"{path} is no Whisper checkpoint ({type(error).__name__}: {reason})."
        ) from error


def _can_be_mapped(path: Path) -> bool:
    """Whether the file need not be read as a whole: a zip archive, not compressed."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
