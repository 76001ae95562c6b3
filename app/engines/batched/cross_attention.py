"""Cross-attention to one window's keys and values: in floats, or in int8 on a CPU."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.engines.batched.compiled import compiled

_FLOAT_QUERIES = 16
"""From so many queries on, dequantizing once and multiplying floats is faster."""


class CrossKV(Protocol):
    """The keys and values of one window, for all layers and heads: of its `positions`, and of no other."""

    @property
    def positions(self) -> int:
        """The encoder's positions that the window has."""

    def attend(self, layer: int, queries: Tensor) -> Tensor:
        """Attention of scaled queries `[heads, n, head]` to the window: `[heads, n, head]`."""

    def scores(self, layer: int, head: int, queries: Tensor, frames: int) -> Tensor:
        """Scores of queries `[n, head]` for the first `frames` positions, before softmax."""


class FloatCrossKV:
    """Keys transposed, `[layers, heads, head, positions]`, read fastest by products with few queries."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys = keys.transpose(2, 3).contiguous()
        self.values = values.contiguous()

    @property
    def positions(self) -> int:
        """The encoder's positions that the window has."""
        return self.values.shape[2]

    def attend(self, layer: int, queries: Tensor) -> Tensor:
        """Attention of scaled queries `[heads, n, head]`."""
        return torch.bmm(torch.bmm(queries, self.keys[layer]).softmax(-1), self.values[layer])

    def scores(self, layer: int, head: int, queries: Tensor, frames: int) -> Tensor:
        """Products of queries `[n, head]` and keys: `[n, frames]`."""
        return queries @ self.keys[layer, head, :, :frames]


class Int8CrossKV:
    """Keys and values as int8 with a scale for each position and head: a quarter of the memory to read.

    The number of positions is a multiple of 4.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self._keys, self._key_scales = _quantize(keys)
        self._values, self._value_scales = _quantize(values)

    @property
    def positions(self) -> int:
        """The encoder's positions that the window has."""
        return self._keys.shape[2]

    def attend(self, layer: int, queries: Tensor) -> Tensor:
        """Attention of scaled queries `[heads, n, head]`."""
        if queries.shape[1] >= _FLOAT_QUERIES:
            keys = _dequantize(self._keys[layer], self._key_scales[layer])
            values = _dequantize(self._values[layer], self._value_scales[layer])
            return torch.bmm(torch.bmm(queries, keys.mT).softmax(-1), values)
        scores = torch.empty(*queries.shape[:2], self.positions)
        _int8_scores(
            queries.contiguous().numpy(),
            self._keys[layer].numpy(),
            self._key_scales[layer].numpy(),
            scores.numpy(),
        )
        output = torch.zeros(queries.shape)
        _int8_weighted_sum(
            scores.softmax(-1).numpy(),
            self._values[layer].numpy(),
            self._value_scales[layer].numpy(),
            output.numpy(),
        )
        return output

    def scores(self, layer: int, head: int, queries: Tensor, frames: int) -> Tensor:
        """Products of queries `[n, head]` and keys: `[n, frames]`."""
        keys = _dequantize(self._keys[layer, head, :frames], self._key_scales[layer, head, :frames])
        return queries @ keys.T


def _quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """`[layers, heads, positions, head]` to int8 of the same shape and scales without the last dimension."""
    scales = x.abs().amax(-1).clamp_min(1e-8) / 127
    return torch.round(x / scales[..., None]).to(torch.int8).contiguous(), scales.contiguous()


def _dequantize(x: Tensor, scales: Tensor) -> Tensor:
    """The inverse of `_quantize`, but for rounding."""
    return x.float() * scales[..., None]


@compiled(fastmath=True)
def _int8_scores(
    queries: NDArray[np.float32],
    keys: NDArray[np.int8],
    scales: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> None:
    """Write the scores of queries `[heads, n, head]` for all positions to `scores` `[heads, n, positions]`.

    Four frames at a time are converted to floats, for all queries: reading takes longer than multiplying.
    """
    heads, frame_count, width = keys.shape
    floats = np.empty((4, width), np.float32)
    for head in range(heads):
        for frame in range(0, frame_count, 4):
            for k in range(4):
                for i in range(width):
                    floats[k, i] = keys[head, frame + k, i]
            for query in range(queries.shape[1]):
                a = b = c = d = np.float32(0)
                for i in range(width):
                    q = queries[head, query, i]
                    a += q * floats[0, i]
                    b += q * floats[1, i]
                    c += q * floats[2, i]
                    d += q * floats[3, i]
                scores[head, query, frame] = a * scales[head, frame]
                scores[head, query, frame + 1] = b * scales[head, frame + 1]
                scores[head, query, frame + 2] = c * scales[head, frame + 2]
                scores[head, query, frame + 3] = d * scales[head, frame + 3]


@compiled(fastmath=True)
def _int8_weighted_sum(
    weights: NDArray[np.float32],
    values: NDArray[np.int8],
    scales: NDArray[np.float32],
    output: NDArray[np.float32],
) -> None:
    """Add the sum of all values, weighted by `[heads, n, positions]`, to `output` `[heads, n, head]`."""
    heads, frame_count, width = values.shape
    floats = np.empty((4, width), np.float32)
    for head in range(heads):
        for frame in range(0, frame_count, 4):
            for k in range(4):
                for i in range(width):
                    floats[k, i] = values[head, frame + k, i] * scales[head, frame + k]
            for query in range(weights.shape[1]):
                a, b = weights[head, query, frame], weights[head, query, frame + 1]
                c, d = weights[head, query, frame + 2], weights[head, query, frame + 3]
                for i in range(width):
                    output[head, query, i] += (
                        a * floats[0, i] + b * floats[1, i] + c * floats[2, i] + d * floats[3, i]
                    )
