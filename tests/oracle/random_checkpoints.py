"""Checkpoints of OpenAI's dimensions with random weights that say something else in every window.

Plain random weights hardly listen: they say the same few tokens over and over, whatever they hear.
Here attention is sharp, and what it finds weighs as much as the token before. It could be sharper,
but then float32 itself is off by more than the tests allow: openai-whisper against its own float64.
A text ends by itself, sooner or later after `tokens` tokens.
"""

from dataclasses import asdict
from pathlib import Path

import torch
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import get_tokenizer

DIMENSIONS = {
    "tiny": ModelDimensions(80, 1500, 384, 6, 4, 51865, 448, 384, 6, 4),
    "base": ModelDimensions(80, 1500, 512, 8, 6, 51865, 448, 512, 8, 6),
    "narrow turbo": ModelDimensions(128, 1500, 128, 2, 4, 51866, 448, 128, 2, 2),
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
                parameter.normal_(std=_deviation(name, model.dims.n_text_state))
        decoder.positional_embedding.normal_(std=0.2)
        decoder.positional_embedding[:, _CLOCK] = -5.0
        decoder.positional_embedding[3 + tokens :, _CLOCK] = 5.0
        embedding = decoder.token_embedding.weight
        embedding[:, _CLOCK] = 0.0
        embedding[get_tokenizer(multilingual=True).eot, _CLOCK] = 4.0
    state = {name: tensor.half() for name, tensor in model.state_dict().items()}
    torch.save({"dims": asdict(model.dims), "model_state_dict": state}, path)


def _deviation(name: str, width: int) -> float:
    """How far a matrix's numbers spread: attention as sharp as float32 still bears, for any width."""
    if "query" in name or "key" in name:
        return (0.08 if name.startswith("encoder") else 0.11) * (384 / width) ** 0.5
    if "token_embedding" in name:
        return 0.1
    return 0.15 if "cross_attn" in name else 0.03
