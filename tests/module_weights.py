"""The weights of an openai-whisper module, as if they had been read from a file."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from whisper.model import Whisper

from app.checkpoints.dimensions import Dimensions
from app.engines.batched import packed_linear
from app.engines.batched.weights import DecoderWeights, LayerSource, decoder_weights
from app.engines.weights_files import WeightsFile

CPU = torch.device("cpu")


class ModuleWeights:
    """A WeightsFile."""

    alignment_heads = None

    def __init__(self, model: Whisper) -> None:
        self.dims = Dimensions(**asdict(model.dims))
        self._tensors = model.state_dict()

    def tensor(self, name: str) -> Tensor:
        return self._tensors[name]


def decoder_of(
    model: Whisper, device: torch.device = CPU, dtype: torch.dtype = torch.float32
) -> DecoderWeights:
    """Its decoder's weights, not packed."""
    return decoder_weights(LayerSource(ModuleWeights(model), device, dtype, packed_linear.plain))


if TYPE_CHECKING:
    STANDS_FOR: type[WeightsFile] = ModuleWeights
