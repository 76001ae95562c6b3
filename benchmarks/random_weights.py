"""Checkpoints of real dimensions with random weights: all that a measurement of speed needs.

Two channels of the decoder are not random, so that every window costs what a window of speech costs:
after the first timestamp only text is said, and after `tokens` tokens it ends. Untamed random
weights fill the context with timestamps and move on by any part of a window.
"""

from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import get_tokenizer

BASE = ModelDimensions(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=512,
    n_audio_head=8,
    n_audio_layer=6,
    n_vocab=51865,
    n_text_ctx=448,
    n_text_state=512,
    n_text_head=8,
    n_text_layer=6,
)
"""The dimensions of OpenAI's `base`."""

TINY = replace(
    BASE,
    n_audio_state=384,
    n_audio_head=6,
    n_audio_layer=4,
    n_text_state=384,
    n_text_head=6,
    n_text_layer=4,
)
"""Those of `tiny`."""

SMALL = replace(
    BASE,
    n_audio_state=768,
    n_audio_head=12,
    n_audio_layer=12,
    n_text_state=768,
    n_text_head=12,
    n_text_layer=12,
)
"""Those of `small`."""

TURBO = ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 4)
"""Those of `turbo`."""

TINY_TURBO = replace(
    TURBO,
    n_audio_state=64,
    n_audio_head=1,
    n_audio_layer=1,
    n_text_state=64,
    n_text_head=1,
    n_text_layer=1,
)
"""Its inputs and its vocabulary, and nearly nothing between them."""

SIZES = {"tiny": TINY, "base": BASE, "small": SMALL, "turbo": TURBO}
"""By OpenAI's names."""

_PROMPT_TOKENS = 3  # start of transcript, language, task
_STEADY, _CLOCK = 0, 1
"""The channels: one that is always 1 at the end of the decoder, one that tells the position."""


def write(path: Path, dims: ModelDimensions, tokens: int, seed: int = 0, device: str = "cpu") -> None:
    """Write a checkpoint in openai-whisper's format, in float16 as OpenAI's own are.

    It says a timestamp and `tokens` tokens of text in every window that has no prompt. `device` makes the
    numbers, which are its own: those of a large model take a processor a minute.
    """
    torch.manual_seed(seed)
    with torch.device(device):
        model = Whisper(dims)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.02)
        _tame(model, tokens)
    state = {name: tensor.half().cpu() for name, tensor in model.state_dict().items()}
    torch.save({"dims": asdict(dims), "model_state_dict": state}, path)


def _tame(model: Whisper, tokens: int) -> None:
    tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages)
    decoder = model.decoder
    embedding: Tensor = decoder.token_embedding.weight
    embedding[:, [_STEADY, _CLOCK]] = 0.0
    decoder.ln.weight[_STEADY] = 0.0
    decoder.ln.bias[_STEADY] = 1.0
    embedding[tokenizer.timestamp_begin :, _STEADY] = -15.0  # only where nothing else is allowed
    decoder.positional_embedding[:, _CLOCK] = -5.0
    decoder.positional_embedding[_PROMPT_TOKENS + tokens :, _CLOCK] = 5.0
    embedding[tokenizer.eot, _CLOCK] = 1.0
