"""A checkpoint in any format -> its tensors under openai-whisper's names, one at a time."""

import base64
import gzip
from collections.abc import Callable
from typing import Protocol

import numpy as np
from torch import Tensor
from whisper import _ALIGNMENT_HEADS

from app.checkpoints import Checkpoint
from app.checkpoints.checkpoint import Format
from app.checkpoints.config_file import Heads
from app.checkpoints.dimensions import Dimensions
from app.engines.weights_files.ctranslate2_file import CTranslate2File
from app.engines.weights_files.safetensors_files import SafetensorsFiles
from app.engines.weights_files.torch_file import TorchFile


class WeightsFile(Protocol):
    """Weights on disk. All tensors of `dims.shapes()` are there, each of its shape."""

    @property
    def dims(self) -> Dimensions:
        """The model's sizes."""

    @property
    def alignment_heads(self) -> Heads | None:
        """Those that the files name; None where they name none."""

    def tensor(self, name: str) -> Tensor:
        """A tensor as it is stored: float16, float32 or bfloat16, on the CPU.

        It may be a view of the file, not to be written to, nor to be kept: whoever keeps it copies it.
        """


READERS: dict[Format, Callable[[Checkpoint], WeightsFile]] = {
    "torch": TorchFile,
    "huggingface": SafetensorsFiles,
    "ctranslate2": CTranslate2File,
}


def open_weights(checkpoint: Checkpoint) -> WeightsFile:
    """A checkpoint's tensors. Raises CheckpointError unless it is the whole of a Whisper model."""
    return READERS[checkpoint.format](checkpoint)


def alignment_heads(checkpoint: Checkpoint, weights: WeightsFile) -> Heads:
    """The heads that the files name, else those published for them, else openai-whisper's for others.

    Those are all heads of the upper half of the layers.
    """
    if weights.alignment_heads:
        return weights.alignment_heads
    if checkpoint.published_name:
        return _published_heads(checkpoint.published_name, weights.dims)
    layers = range(weights.dims.n_text_layer // 2, weights.dims.n_text_layer)
    return tuple((layer, head) for layer in layers for head in range(weights.dims.n_text_head))


def _published_heads(name: str, dims: Dimensions) -> Heads:
    marks = np.frombuffer(gzip.decompress(base64.b85decode(_ALIGNMENT_HEADS[name])), dtype=bool)
    pairs = np.argwhere(marks.reshape(dims.n_text_layer, dims.n_text_head))
    return tuple((int(layer), int(head)) for layer, head in pairs)
