"""Hugging Face's format: safetensors files, mapped into memory."""

from typing import Any

import torch
from torch import Tensor

from app.checkpoints import Checkpoint, huggingface
from app.checkpoints.architecture import untied
from app.checkpoints.huggingface import StoredTensor
from app.engines.weights_files.mapped_pages import MappedPages

_EMBEDDING = "decoder.token_embedding.weight"


class SafetensorsFiles:
    """A WeightsFile over one file or several."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        model = huggingface.read(checkpoint.path)
        self.dims = model.dims
        self.alignment_heads = model.alignment_heads
        self._stored = model.tensors
        files = {stored.file for stored in model.tensors.values()}
        files |= {model.output_layer.file} if model.output_layer else set()
        self._pages = MappedPages(files)
        self._files: dict[Any, Any] = {file: huggingface.opened(file, "pt") for file in files}
        if model.output_layer and not torch.equal(self._read(model.output_layer), self.tensor(_EMBEDDING)):
            raise untied(checkpoint.path)

    def tensor(self, name: str) -> Tensor:
        """A view of the file."""
        return self._read(self._stored[name])

    def _read(self, stored: StoredTensor) -> Tensor:
        tensor: Tensor = self._files[stored.file].get_tensor(stored.name)
        return self._pages.given_out(tensor)
