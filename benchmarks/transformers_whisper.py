"""Hugging Face transformers' Whisper with random weights of any dimensions: for its speed alone."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import GenerationMixin, WhisperForConditionalGeneration
from whisper.model import ModelDimensions

from benchmarks.transformers_config import whisper_config

PROMPT = (50258, 50259, 50360)


def generator(dims: ModelDimensions, device: str, half: bool, tokens: int) -> Callable[[int], int]:
    """A function that generates exactly `tokens` tokens for each of so many windows.

    It returns how many are text: all but a first timestamp.
    """
    with torch.device(device):
        model: Any = WhisperForConditionalGeneration(whisper_config(dims))
    model.eval().to(torch.float16 if half else torch.float32)

    def generate(windows: int) -> int:
        features = torch.randn(windows, dims.n_mels, 3_000, device=device, dtype=model.dtype)
        prompts = torch.tensor([PROMPT] * windows, device=device)
        with torch.inference_mode():
            said: Any = GenerationMixin.generate(
                model,
                input_features=features,
                attention_mask=torch.ones(windows, 3_000, device=device),
                decoder_input_ids=prompts,
                decoder_attention_mask=torch.ones_like(prompts),
                min_new_tokens=tokens,
                max_new_tokens=tokens,
                do_sample=False,
            )
        length: int = said.shape[1]
        return windows * (length - len(PROMPT) - 1)

    return generate
