"""Checkpoints of OpenAI's dimensions with random weights that say something else in every window.

Plain random weights hardly listen: they say the same few tokens over and over, whatever they hear.
Here attention is sharp and what it finds weighs as much as the token before, so that nearly every
step is a context of its own. A text ends by itself, sooner or later after `tokens` tokens.
"""

from dataclasses import asdict
from pathlib import Path

import torch
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import get_tokenizer

DIMENSIONS = {
    "tiny": ModelDimensions(80, 1500, 384, 6, 4, 51865, 448, 384, 6, 4),
    "base": ModelDimensions(80, 1500, 512, 8, 6, 51865, 448, 512, 8, 6),
}

_CLOCK = 0
"""The channel that tells the position, and which the end token listens to."""


def write(path: Path, size: str, tokens: int, seed: int = 0) -> None:
    """Write a checkpoint in openai-whisper's format, in float16 as OpenAI's own are."""
    torch.manual_seed(seed)
    model = Whisper(DIMENSIONS[size])
    decoder = model.decoder
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=_deviation(name))
        decoder.positional_embedding.normal_(std=0.2)
        decoder.positional_embedding[:, _CLOCK] = -5.0
        decoder.positional_embedding[3 + tokens :, _CLOCK] = 5.0
        embedding = decoder.token_embedding.weight
        embedding[:, _CLOCK] = 0.0
        embedding[get_tokenizer(multilingual=True).eot, _CLOCK] = 3.0
    state = {name: tensor.half() for name, tensor in model.state_dict().items()}
    torch.save({"dims": asdict(model.dims), "model_state_dict": state}, path)


def _deviation(name: str) -> float:
    if "query" in name or "key" in name:
        return 0.2
    return 0.1 if "cross_attn" in name or "token_embedding" in name else 0.03
