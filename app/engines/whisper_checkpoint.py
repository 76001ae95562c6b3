"""A verified file of weights -> openai-whisper's own model."""

from typing import Any

import whisper
from whisper import _ALIGNMENT_HEADS

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
