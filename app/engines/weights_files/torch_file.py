"""openai-whisper's own format: one file that torch has written. Nothing in it is executed."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.checkpoints import Checkpoint
from app.checkpoints.config_file import Heads
from app.checkpoints.config_file import alignment_heads as stated_heads
from app.checkpoints.dimensions import Dimensions
from app.engines.weights_files.mapped_pages import MappedPages
from app.errors import CheckpointError
from app.memory import out_of_memory


class TorchFile:
    """A WeightsFile. It is mapped into memory where that is possible, else read as a whole.

    `alignment_heads` are an addition of `python -m app checkpoint convert`, which openai-whisper passes over.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        contents = _load(checkpoint.path)
        self.dims = Dimensions.of(contents["dims"], checkpoint.path)
        self.alignment_heads: Heads | None = stated_heads(contents, self.dims, checkpoint.path)
        self._tensors: dict[str, Tensor] = contents["model_state_dict"]
        self._pages = MappedPages([checkpoint.path])
        self.dims.require(
            checkpoint.path, {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        )

    def tensor(self, name: str) -> Tensor:
        """A view of the file."""
        return self._pages.given_out(self._tensors[name])


def _load(path: Path) -> dict[str, Any]:
    """A file's dictionary, with `dims` and a `model_state_dict` of floating-point tensors.

    Raises CheckpointError, or what torch raises if there is not enough memory.
    """
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=_can_be_mapped(path))
        tensors = contents["model_state_dict"]
        if not isinstance(contents["dims"], dict) or not tensors:
            raise ValueError("it has no weights")
        if odd := [name for name, tensor in tensors.items() if not _is_plain(tensor)]:
            raise ValueError(f"{odd[0]!r} is no tensor of floating-point numbers")
    except Exception as error:
        if out_of_memory(error):
            raise  # it says nothing about the file
        # torch's own advice is to load the file with weights_only=False: the worst one for a foreign file.
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise CheckpointError(
            f"{path} is no Whisper checkpoint ({type(error).__name__}: {reason}); bring "
            "openai-whisper's .pt, a folder with config.json and model.safetensors, or a CTranslate2 folder."
        ) from error
    return dict(contents)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.layout == torch.strided


def _can_be_mapped(path: Path) -> bool:
    """Whether the file need not be read as a whole: a zip archive, not compressed."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
