"""CTranslate2's format: a model.bin, mapped into memory. int8 weights become float16."""

import mmap

import torch
from torch import Tensor

from app.checkpoints import Checkpoint, ctranslate2
from app.checkpoints.ctranslate2_file import Variable, mapped

_TYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int8": torch.int8,
}


class CTranslate2File:
    """A WeightsFile over a folder."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        model = ctranslate2.read(checkpoint.path)
        self.dims = model.dims
        self.alignment_heads = model.alignment_heads
        self._stored = model.tensors
        self._file = model.file

    def tensor(self, name: str) -> Tensor:
        """A copy: numbers lie at any byte of the file, where torch can't use them."""
        stored = self._stored[name]
        with mapped(self._file) as data:
            values = _copied(data, stored.values)
            return values if stored.scale is None else _dequantized(values, _copied(data, stored.scale))


def _copied(data: mmap.mmap, variable: Variable) -> Tensor:
    with memoryview(data) as view:
        numbers = bytearray(view[variable.offset : variable.offset + variable.size])
    return torch.frombuffer(numbers, dtype=_TYPES[variable.type]).reshape(variable.shape)


def _dequantized(values: Tensor, scale: Tensor) -> Tensor:
    """int8 rows divided by their scale, in float16: it is more precise than int8, and half of float32."""
    rows = scale.float().view(-1, *[1] * (values.ndim - 1))
    return (values.float() / rows).half()
