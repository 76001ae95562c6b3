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
            return torch.bmm(
                torch.bmm(queries, self._float_keys(layer).mT).softmax(-1), self._float_values(layer)
            )
        heard = torch.empty(queries.shape)
        _attend_int8(
            queries.contiguous().numpy(),
            self._keys[layer].numpy(),
            self._key_scales[layer].numpy(),
            self._values[layer].numpy(),
            self._value_scales[layer].numpy(),
            heard.numpy(),
        )
        return heard

    def scores(self, layer: int, head: int, queries: Tensor, steps: int) -> Tensor:
        """Products of queries `[n, head]` and keys: `[n, steps]`."""
        return queries @ self._float_keys(layer)[head, :steps].T

    def _float_keys(self, layer: int) -> Tensor:
        return self._keys[layer].float() * self._key_scales[layer, ..., None]

    def _float_values(self, layer: int) -> Tensor:
        return self._values[layer].float() * self._value_scales[layer, ..., None]


def _quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """`[layers, heads, 1500, head]` to int8 of the same shape and scales `[layers, heads, 1500]`."""
    scales = x.abs().amax(-1).clamp_min(1e-8) / 127
    return torch.round(x / scales[..., None]).to(torch.int8).contiguous(), scales.contiguous()


@numba.njit(fastmath=True, nogil=True)  # type: ignore[untyped-decorator]
def _attend_int8(  # noqa: PLR0917 (numba takes arrays, not objects)
    queries: NDArray[np.float32],
    keys: NDArray[np.int8],
    key_scales: NDArray[np.float32],
    values: NDArray[np.int8],
    value_scales: NDArray[np.float32],
    heard: NDArray[np.float32],
) -> None:
    """Softmax attention, head by head; shapes as in Int8CrossKV.attend.

    Each place is read once for all queries, since reading is what takes the time.
    """
    heads, places, width = keys.shape
    rows = queries.shape[1]
    fit = np.empty((rows, places), np.float32)
    wide = np.empty(width, np.float32)
    for head in range(heads):
        for place in range(places):
            for i in range(width):
                wide[i] = keys[head, place, i]
            for row in range(rows):
                total = np.float32(0)
                for i in range(width):
                    total += queries[head, row, i] * wide[i]
                fit[row, place] = total * key_scales[head, place]
        for row in range(rows):
            best = fit[row].max()
            mass = np.float32(0)
            for place in range(places):
                fit[row, place] = np.exp(fit[row, place] - best)
                mass += fit[row, place]
            for place in range(places):
                fit[row, place] *= value_scales[head, place] / mass
        heard[head] = 0
        for place in range(places):
            for i in range(width):
                wide[i] = values[head, place, i]
            for row in range(rows):
                weight = fit[row, place]
                for i in range(width):
                    heard[head, row, i] += weight * wide[i]
