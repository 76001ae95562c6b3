"""What the decoder's layers attend to in one window, and how: in floats, or in int8 on a CPU."""

from typing import Protocol

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_STEP_QUERIES = 16
"""From so many queries on a product of floats is faster than reading int8 for each."""


class CrossKV(Protocol):
    """The keys and values of one window, for all layers and heads."""

    def attend(self, layer: int, queries: Tensor) -> Tensor:
        """Attention of scaled queries `[heads, n, head]` to the window: `[heads, n, head]`."""

    def scores(self, layer: int, head: int, queries: Tensor, steps: int) -> Tensor:
        """How well queries `[n, head]` fit the first `steps` of 1500 places: `[n, steps]`, before softmax."""


class FloatCrossKV:
    """Keys transposed, `[layers, heads, head, 1500]`, which a product with few queries reads fastest."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys = keys.transpose(2, 3).contiguous()
        self.values = values.contiguous()

    def attend(self, layer: int, queries: Tensor) -> Tensor:
        """Attention of scaled queries `[heads, n, head]`."""
        return torch.bmm(torch.bmm(queries, self.keys[layer]).softmax(-1), self.values[layer])

    def scores(self, layer: int, head: int, queries: Tensor, steps: int) -> Tensor:
        """Products of queries `[n, head]` and keys: `[n, steps]`."""
        return queries @ self.keys[layer, head, :, :steps]


class Int8CrossKV:
    """Keys and values as int8 with a scale for each place and head: a quarter of the memory to read."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self._keys, self._key_scales = _quantize(keys)
        self._values, self._value_scales = _quantize(values)

    def attend(self, layer: int, queries: Tensor) -> Tensor:
        """Attention of scaled queries `[heads, n, head]`."""
        if queries.shape[1] >= _STEP_QUERIES:
            keys = _floats(self._keys[layer], self._key_scales[layer])
            values = _floats(self._values[layer], self._value_scales[layer])
            return torch.bmm(torch.bmm(queries, keys.mT).softmax(-1), values)
        fit = torch.empty(*queries.shape[:2], self._keys.shape[2])
        _score(
            queries.contiguous().numpy(),
            self._keys[layer].numpy(),
            self._key_scales[layer].numpy(),
            fit.numpy(),
        )
        heard = torch.zeros(queries.shape)
        _mix(
            fit.softmax(-1).numpy(),
            self._values[layer].numpy(),
            self._value_scales[layer].numpy(),
            heard.numpy(),
        )
        return heard

    def scores(self, layer: int, head: int, queries: Tensor, steps: int) -> Tensor:
        """Products of queries `[n, head]` and keys: `[n, steps]`."""
        keys = _floats(self._keys[layer, head, :steps], self._key_scales[layer, head, :steps])
        return queries @ keys.T


def _quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """`[layers, heads, 1500, head]` to int8 of the same shape and scales `[layers, heads, 1500]`."""
    scales = x.abs().amax(-1).clamp_min(1e-8) / 127
    return torch.round(x / scales[..., None]).to(torch.int8).contiguous(), scales.contiguous()


def _floats(x: Tensor, scales: Tensor) -> Tensor:
    """What was quantized, nearly."""
    return x.float() * scales[..., None]


@numba.njit(fastmath=True, nogil=True)  # type: ignore[untyped-decorator]
def _score(
    queries: NDArray[np.float32],
    keys: NDArray[np.int8],
    scales: NDArray[np.float32],
    fit: NDArray[np.float32],
) -> None:
    """How well queries `[heads, n, head]` fit each of 1500 places, to `fit` `[heads, n, 1500]`.

    Four places are read at once for all queries: reading and widening them takes longer than multiplying.
    """
    heads, places, width = keys.shape
    wide = np.empty((4, width), np.float32)
    for head in range(heads):
        for place in range(0, places, 4):
            for k in range(4):
                for i in range(width):
                    wide[k, i] = keys[head, place + k, i]
            for row in range(queries.shape[1]):
                a = b = c = d = np.float32(0)
                for i in range(width):
                    q = queries[head, row, i]
                    a += q * wide[0, i]
                    b += q * wide[1, i]
                    c += q * wide[2, i]
                    d += q * wide[3, i]
                fit[head, row, place] = a * scales[head, place]
                fit[head, row, place + 1] = b * scales[head, place + 1]
                fit[head, row, place + 2] = c * scales[head, place + 2]
                fit[head, row, place + 3] = d * scales[head, place + 3]


@numba.njit(fastmath=True, nogil=True)  # type: ignore[untyped-decorator]
def _mix(
    weights: NDArray[np.float32],
    values: NDArray[np.int8],
    scales: NDArray[np.float32],
    heard: NDArray[np.float32],
) -> None:
    """Add what is heard with weights `[heads, n, 1500]` to `heard` `[heads, n, head]`."""
    heads, places, width = values.shape
    wide = np.empty((4, width), np.float32)
    for head in range(heads):
        for place in range(0, places, 4):
            for k in range(4):
                for i in range(width):
                    wide[k, i] = values[head, place + k, i] * scales[head, place + k]
            for row in range(weights.shape[1]):
                a, b = weights[head, row, place], weights[head, row, place + 1]
                c, d = weights[head, row, place + 2], weights[head, row, place + 3]
                for i in range(width):
                    heard[head, row, i] += a * wide[0, i] + b * wide[1, i] + c * wide[2, i] + d * wide[3, i]
