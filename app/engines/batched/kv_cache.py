"""Keys and values of the tokens that each running row has seen, and how a row attends to its own."""

from typing import NamedTuple

import numba
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


class Places(NamedTuple):
    """Where each row's new token goes: `lengths` `[rows]` is what it has seen, `longest` the new greatest
    length, and `mask` `[rows, 1, 1, longest]` is True for what it may look at.
    """

    lengths: Tensor
    longest: int
    mask: Tensor


class KVCache:
    """Self-attention keys and values, `[layers, rows, heads, text_context, head]` each, allocated once.

    Row r holds `lengths[r]` tokens from position 0 on, so rows of any length run side by side. Where
    attention masks the places after them, that makes no difference of NaN: they have to be finite.
    """

    def __init__(self, shape: tuple[int, int, int, int, int], like: Tensor) -> None:
        self.keys = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.values = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self._rows = torch.arange(shape[1], device=like.device)
        self._scale: float = shape[-1] ** -0.5

    def clear(self, rows: slice) -> None:
        """Forget whatever other windows have left in some rows."""
        self.keys[:, rows] = 0
        self.values[:, rows] = 0

    def put_prompt(self, layer: int, row: int, keys: Tensor, values: Tensor) -> None:
        """A row's first tokens: `[heads, length, head]` each."""
        self.keys[layer, row, :, : keys.shape[1]] = keys
        self.values[layer, row, :, : values.shape[1]] = values

    def put_step(self, layer: int, lengths: Tensor, keys: Tensor, values: Tensor) -> None:
        """One more token for each of the first rows: `[rows, heads, head]` each, at its own position."""
        rows = self._rows[: len(lengths)]
        self.keys[layer][rows, :, lengths] = keys
        self.values[layer][rows, :, lengths] = values

    def seen(self, layer: int, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the first rows, up to the longest: `[rows, heads, length, head]` each."""
        return self.keys[layer, :rows, :, :length], self.values[layer, :rows, :, :length]

    def recall(self, layer: int, qkv: Tensor, places: Places) -> Tensor:
        """Keep one more token of each of the first rows, and attend to all that each has seen.

        `qkv` `[rows, 3 * state]` are its queries, keys and values; the result is `[rows, state]`.
        """
        rows = qkv.view(len(qkv), 3, self.keys.shape[2], self.keys.shape[4])
        if qkv.device.type != "cpu":
            return self.recall_masked(layer, rows, places)
        recalled = torch.zeros_like(rows[:, 0])
        _recall(
            rows.numpy(),
            self.keys[layer].numpy(),
            self.values[layer].numpy(),
            places.lengths.numpy(),
            self._scale,
            recalled.numpy(),
        )
        return recalled.view(len(qkv), -1)

    def recall_masked(self, layer: int, qkv: Tensor, places: Places) -> Tensor:
        """The same in whole tensors for a GPU, which can't look at rows one by one: `qkv` is
        `[rows, 3, heads, head]`.
        """
        q, k, v = qkv.unbind(1)
        self.put_step(layer, places.lengths, k, v)
        keys, values = self.seen(layer, len(qkv), places.longest)
        recalled = F.scaled_dot_product_attention(q[:, :, None], keys, values, attn_mask=places.mask)
        return recalled.reshape(len(qkv), -1)

    def copy(self, sources: Tensor, targets: Tensor, places: slice) -> None:
        """Give rows `targets` the tokens of `sources` at `places`."""
        self.keys[:, targets, :, places] = self.keys[:, sources, :, places]
        self.values[:, targets, :, places] = self.values[:, sources, :, places]


@numba.njit(fastmath={"reassoc", "contract", "nsz"}, nogil=True)  # type: ignore[untyped-decorator]
def _recall(  # noqa: PLR0917 (numba takes arrays, not objects)
    qkv: NDArray[np.float32],
    keys: NDArray[np.float32],
    values: NDArray[np.float32],
    lengths: NDArray[np.int64],
    scale: float,
    recalled: NDArray[np.float32],
) -> None:
    """KVCache.recall, row by row and head by head: nothing is read that a row doesn't look at."""
    rows, _, heads, width = qkv.shape
    fit = np.empty(keys.shape[2], np.float32)
    for row in range(rows):
        place = lengths[row]
        for head in range(heads):
            for i in range(width):
                keys[row, head, place, i] = qkv[row, 1, head, i]
                values[row, head, place, i] = qkv[row, 2, head, i]
            for k in range(place + 1):
                total = np.float32(0)
                for i in range(width):
                    total += qkv[row, 0, head, i] * keys[row, head, k, i]
                fit[k] = total * np.float32(scale)
            best = fit[: place + 1].max()
            mass = np.float32(0)
            for k in range(place + 1):
                fit[k] = np.exp(fit[k] - best)
                mass += fit[k]
            for k in range(place + 1):
                weight = fit[k] / mass
                for i in range(width):
                    recalled[row, head, i] += weight * values[row, head, k, i]
