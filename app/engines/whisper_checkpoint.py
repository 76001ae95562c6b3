"""A checkpoint in any format -> openai-whisper's own model."""

from dataclasses import asdict
from typing import Any

import torch
from whisper.model import ModelDimensions, Whisper

from app.checkpoints import Checkpoint
from app.checkpoints.config_file import Heads
from app.engines.weights_files import alignment_heads, open_weights


def load_whisper(checkpoint: Checkpoint, device: str) -> Any:
    """The `whisper.model.Whisper` of a checkpoint, in float32 as openai-whisper loads it.

    Raises CheckpointError unless it is the whole of a Whisper model.
    """
    weights = open_weights(checkpoint)
    model = Whisper(ModelDimensions(**asdict(weights.dims)))
    with torch.no_grad():
        for name, target in model.state_dict().items():
            target.copy_(weights.tensor(name))
    model.register_buffer(
        "alignment_heads", _mask(model, alignment_heads(checkpoint, weights)), persistent=False
    )
    return model.to(device).eval()


def _mask(model: Any, heads: Heads) -> torch.Tensor:
    mask = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
    for layer, head in heads:
        mask[layer, head] = True
    return mask.to_sparse()
