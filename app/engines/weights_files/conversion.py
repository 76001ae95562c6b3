"""Weights of any format -> a file in openai-whisper's own."""

import os
from dataclasses import asdict
from pathlib import Path

import torch

from app.checkpoints import Checkpoint
from app.engines.weights_files import open_weights
from app.errors import CheckpointError


def write(checkpoint: Checkpoint, target: Path) -> None:
    """Write a checkpoint's tensors, of the types that they have, as openai-whisper's `.pt` file.

    Its alignment heads, where it names any, are written too: this server reads them, openai-whisper passes
    them over. The file gets its name when it is complete. Raises CheckpointError where one is there already,
    or where it can't be written.
    """
    if target.exists():
        raise CheckpointError(_is_there(target))
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            torch.save(_contents(checkpoint), file)
            os.fsync(file.fileno())
        _name(part, target)
    except FileExistsError as error:
        raise CheckpointError(_is_there(target)) from error
    except OSError as error:
        raise CheckpointError(
            f"{target} can't be written ({error.strerror}); choose a folder that exists, with room in it."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _contents(checkpoint: Checkpoint) -> dict[str, object]:
    weights = open_weights(checkpoint)
    tensors = {name: weights.tensor(name) for name in weights.dims.shapes()}
    contents: dict[str, object] = {"dims": asdict(weights.dims), "model_state_dict": tensors}
    if weights.alignment_heads:
        contents["alignment_heads"] = [list(pair) for pair in weights.alignment_heads]
    return contents


def _name(part: Path, target: Path) -> None:
    """Give a complete file its name, unless another one has got it meanwhile."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, as USB sticks have
        if target.exists():
            raise FileExistsError from None
        part.rename(target)


def _is_there(target: Path) -> str:
    return f"{target} is there already; delete it or choose another name."
