"""Word times: dynamic time warping over the alignment heads' cross-attention.

Source: openai-whisper's `timing.find_alignment`, over stored keys instead of a second encoder run.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from whisper.audio import TOKENS_PER_SECOND

from app.engines.batched.compiled import compiled
from app.engines.batched.cross_attention import CrossKV
from app.engines.batched.decoder import Decoder
from app.engines.batched.dtw import cheapest_path
from app.engines.interface import FRAMES_PER_TOKEN, WordTiming

_MEDIAN_REACH = 3
"""The running median is over so many numbers on each side, and the one between."""

_LOGITS_CHUNK = 32
"""Tokens whose logits are computed together."""


class AlignmentScores:
    """Collects the alignment heads' cross-attention scores during a prefill: `[heads, length, frames]`."""

    def __init__(self, heads: Sequence[tuple[int, int]], cross: CrossKV, frames: int) -> None:
        self._heads = heads
        self._cross = cross
        self._frames = frames
        self._scores: dict[tuple[int, int], Tensor] = {}

    def __call__(self, layer: int, q: Tensor) -> None:
        """Take a layer's queries `[heads, length, head]`."""
        for head in (head for head_layer, head in self._heads if head_layer == layer):
            self._scores[layer, head] = self._cross.scores(layer, head, q[head], self._frames).float()

    @property
    def scores(self) -> Tensor:
        """Before softmax, in the order of the heads."""
        return torch.stack([self._scores[head] for head in self._heads])


class Aligner:
    """Aligns by the cross-attention of a checkpoint's alignment `heads`, (layer, head) each."""

    def __init__(self, decoder: Decoder, heads: Sequence[tuple[int, int]]) -> None:
        self._decoder = decoder
        self._heads = heads

    def words(self, cross: CrossKV, tokenizer: Any, tokens: list[int], frames: int) -> list[WordTiming]:
        """The words of text `tokens` in a window of `frames` log-mel frames. `tokenizer` is whisper's."""
        if not tokens:
            return []
        prompt_length = len(tokenizer.sot_sequence)
        scores = AlignmentScores(self._heads, cross, frames // FRAMES_PER_TOKEN)
        sequence = [*tokenizer.sot_sequence, tokenizer.no_timestamps, *tokens, tokenizer.eot]
        states = self._decoder.prefill(sequence, cross, on_queries=scores)
        probabilities = self._probabilities(states[prompt_length:-2], tokens, tokenizer.eot)
        matrix = _alignment_matrix(scores.scores)[prompt_length:-1]
        text_indices, time_indices = cheapest_path(-matrix.double().numpy())
        jumps = np.pad(np.diff(text_indices), (1, 0), constant_values=1).astype(bool)
        return _words(tokenizer, tokens, time_indices[jumps] / TOKENS_PER_SECOND, probabilities)

    def _probabilities(self, states: Tensor, tokens: list[int], eot: int) -> list[float]:
        """The probability of each text token among text tokens, given those before it.

        In chunks: the logits of a whole window are 20 MB.
        """
        indices = torch.tensor(tokens, device=states.device)[:, None]
        probabilities: list[float] = []
        for i in range(0, len(tokens), _LOGITS_CHUNK):
            chunk = self._decoder.logits(states[i : i + _LOGITS_CHUNK])[:, :eot].softmax(-1)
            probabilities += chunk.gather(-1, indices[i : i + _LOGITS_CHUNK])[:, 0].tolist()
        return probabilities


def _alignment_matrix(scores: Tensor) -> Tensor:
    """Attention scores `[heads, length, frames]` to one `[length, frames]`, normalized and smoothed."""
    weights = scores.softmax(-1)
    centred = weights - weights.mean(-2, keepdim=True)
    normalized = centred / centred.square().mean(-2, keepdim=True).sqrt()
    return running_median(normalized.cpu()).mean(0)


def running_median(x: Tensor) -> Tensor:
    """The median of every seven neighbours along the last dimension, which is mirrored at its ends.

    On the CPU only. Where the dimension is too short for that, the result is `x`.

    As in openai-whisper NaN counts as greater than any number.
    """
    if x.shape[-1] <= _MEDIAN_REACH:
        return x
    medians = torch.empty_like(x, memory_format=torch.contiguous_format)
    steps = x.shape[-1]
    _running_median(x.reshape(-1, steps).numpy(), medians.view(-1, steps).numpy())
    return medians


@compiled()
def _running_median(x: NDArray[np.float32], medians: NDArray[np.float32]) -> None:
    """Seven numbers in thirteen comparisons, each a minimum and a maximum, which processors do for many
    neighbours at once. Source: the network of N. Devillard, "Fast median search", 1998.
    """
    rows, steps = x.shape
    line = np.empty(steps + 2 * _MEDIAN_REACH, np.float32)
    for row in range(rows):
        for i in range(steps):
            line[i + _MEDIAN_REACH] = np.inf if np.isnan(x[row, i]) else x[row, i]
        for i in range(_MEDIAN_REACH):
            line[i] = line[2 * _MEDIAN_REACH - i]
            line[steps + _MEDIAN_REACH + i] = line[steps + _MEDIAN_REACH - 2 - i]
        for i in range(steps):
            a, b, c, d = line[i], line[i + 1], line[i + 2], line[i + 3]
            e, f, g = line[i + 4], line[i + 5], line[i + 6]
            a, f = min(a, f), max(a, f)
            a, d = min(a, d), max(a, d)
            b, g = min(b, g), max(b, g)
            c, e = min(c, e), max(c, e)
            a, b = min(a, b), max(a, b)
            d, f = min(d, f), max(d, f)
            c, g = min(c, g), max(c, g)
            c, d = min(c, d), max(c, d)
            d, g = min(d, g), max(d, g)
            e, f = min(e, f), max(e, f)
            b, e = min(b, e), max(b, e)
            b, d = min(b, d), max(b, d)
            d = min(d, e)
            medians[row, i] = np.nan if np.isinf(d) else d


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
