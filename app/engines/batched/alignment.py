"""When each word was said: dynamic time warping over the alignment heads' cross-attention.

Source: openai-whisper's `timing.find_alignment`, over stored keys instead of a second encoder run.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from whisper.audio import TOKENS_PER_SECOND
from whisper.timing import dtw_cpu

from app.engines.batched.cross_attention import CrossKV
from app.engines.batched.decoder import Decoder
from app.engines.interface import FRAMES_PER_TOKEN, WordTiming

_MEDIAN_WIDTH = 7


class AttentionWatch:
    """Collects what the alignment heads look at while the decoder reads: `[heads, length, frames]`."""

    def __init__(self, heads: Sequence[tuple[int, int]], cross: CrossKV, steps: int) -> None:
        self._heads = heads
        self._cross = cross
        self._steps = steps
        self._seen: dict[tuple[int, int], Tensor] = {}

    def __call__(self, layer: int, q: Tensor) -> None:
        """Note a layer's queries `[heads, length, head]`."""
        for head in (head for at, head in self._heads if at == layer):
            self._seen[layer, head] = self._cross.scores(layer, head, q[head], self._steps).float()

    @property
    def weights(self) -> Tensor:
        """In the order of the heads."""
        return torch.stack([self._seen[place] for place in self._heads])


class Aligner:
    """Aligns over the attention of a checkpoint's `heads`, (layer, head) each."""

    def __init__(self, decoder: Decoder, heads: Sequence[tuple[int, int]]) -> None:
        self._decoder = decoder
        self._heads = heads

    def words(self, cross: CrossKV, tokenizer: Any, tokens: list[int], frames: int) -> list[WordTiming]:
        """The words of text `tokens` in a window of `frames` log-mel frames. `tokenizer` is whisper's."""
        if not tokens:
            return []
        before = len(tokenizer.sot_sequence)
        watch = AttentionWatch(self._heads, cross, frames // FRAMES_PER_TOKEN)
        sequence = [*tokenizer.sot_sequence, tokenizer.no_timestamps, *tokens, tokenizer.eot]
        states = self._decoder.read(sequence, cross, watch=watch)
        probabilities = _probabilities(self._decoder.logits(states[before:-2]), tokens, tokenizer.eot)
        matrix = _matrix(watch.weights)[before:-1]
        text_places, time_places = dtw_cpu(-matrix.double().cpu().numpy())
        jumps = np.pad(np.diff(text_places), (1, 0), constant_values=1).astype(bool)
        return _words(tokenizer, tokens, time_places[jumps] / TOKENS_PER_SECOND, probabilities)


def _probabilities(logits: Tensor, tokens: list[int], eot: int) -> list[float]:
    """How likely each text token is after those before it, among text tokens."""
    likely = logits[:, :eot].softmax(-1)
    chosen = torch.tensor(tokens, device=logits.device)[:, None]
    found: list[float] = likely.gather(-1, chosen)[:, 0].tolist()
    return found


def _matrix(weights: Tensor) -> Tensor:
    """Attention scores `[heads, length, steps]` to one `[length, steps]`, normalized and smoothed."""
    weights = weights.softmax(-1)
    std, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    return median_filter((weights - mean) / std, _MEDIAN_WIDTH).mean(0)


def median_filter(x: Tensor, width: int) -> Tensor:
    """The running median along the last dimension, mirrored at its ends; `x` where it is too short."""
    half = width // 2
    if x.shape[-1] <= half:
        return x
    padded = F.pad(x, (half, half), mode="reflect")
    return _median([padded[..., i : i + x.shape[-1]] for i in range(width)])


def _median(rows: list[Tensor]) -> Tensor:
    """The elementwise median of an odd number of tensors.

    Takes away the least and the greatest of as many as can still hold the median, one at a time:
    whole-tensor minima and maxima, which is many times faster than sorting each group.
    """
    held, rest = rows[: len(rows) // 2 + 2], rows[len(rows) // 2 + 2 :]
    while len(held) > 1:
        held = _without_extremes(held)
        held += [rest.pop(0)] if rest else []
    return held[0]


def _without_extremes(rows: list[Tensor]) -> list[Tensor]:
    """The same numbers, elementwise, less the least and the greatest."""
    rows = list(rows)
    for i in range(len(rows) - 1):
        rows[i], rows[i + 1] = torch.minimum(rows[i], rows[i + 1]), torch.maximum(rows[i], rows[i + 1])
    for i in range(len(rows) - 2, 0, -1):
        rows[i - 1], rows[i] = torch.minimum(rows[i - 1], rows[i]), torch.maximum(rows[i - 1], rows[i])
    return rows[1:-1]


def _words(
    tokenizer: Any, tokens: list[int], times: Sequence[float], probabilities: list[float]
) -> list[WordTiming]:
    """Token times and probabilities to words'."""
    words, word_tokens = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    if len(word_tokens) <= 1:
        return []
    bounds = np.pad(np.cumsum([len(group) for group in word_tokens[:-1]]), (1, 0))
    return [
        WordTiming(
            text=words[i],
            tokens=tuple(word_tokens[i]),
            start_seconds=float(times[bounds[i]]),
            end_seconds=float(times[bounds[i + 1]]),
            probability=float(np.mean(probabilities[bounds[i] : bounds[i + 1]])),
        )
        for i in range(len(words) - 1)
    ]
