"""The self-attention KV cache of all rows, and a decoding step's attention to it."""

import math
from collections.abc import Sequence
from mmap import mmap
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from app import memory
from app.engines.batched.compiled import compiled


class StepPositions(NamedTuple):
    """Where a step writes its new tokens and what they attend to.

    lengths: `[rows]`, each row's tokens in the cache, so its new token's position; attended_length: at least
    the greatest length with the new token; mask: `[rows, 1, 1, attended_length]`, 0 up to the new token, then
    -inf, or None where attention goes by `lengths`.
    """

    lengths: Tensor
    attended_length: int
    mask: Tensor | None = None


class KVCache:
    """Self-attention keys and values, `[layers, rows, heads, text_context, head]` each.

    Row r holds `lengths[r]` tokens from position 0 on, so rows of any length run side by side. Attention is
    for a CPU, in float32; it doesn't read unused positions, which take no memory before their first use.
    """

    def __init__(self, shape: tuple[int, int, int, int, int], like: Tensor) -> None:
        self._buffers: list[mmap] = []
        self.keys, self.values = self._allocated(shape, like), self._allocated(shape, like)
        self._rows = torch.arange(shape[1], device=like.device)
        self._scale: float = shape[-1] ** -0.5

    def _allocated(self, shape: Sequence[int], like: Tensor) -> Tensor:
        zeros = memory.lazy_zeros(math.prod(shape) * like.itemsize)
        self._buffers.append(zeros)
        return torch.frombuffer(zeros, dtype=like.dtype).view(*shape)

    def prepare(self, rows: slice) -> None:
        """Make some rows ready for their first tokens."""

    def release(self) -> None:
        """Give the memory of all rows back. No row runs."""
        for buffer in self._buffers:
            memory.clear(buffer)

    def write_prompt(self, layer: int, row: int, keys: Tensor, values: Tensor) -> None:
        """Write a row's first tokens: `[heads, length, head]` each."""
        self.keys[layer, row, :, : keys.shape[1]] = keys
        self.values[layer, row, :, : values.shape[1]] = values

    def write_step(self, layer: int, lengths: Tensor, keys: Tensor, values: Tensor) -> None:
        """Write one token for each of the first rows, `[rows, heads, head]` each, at its row's length."""
        rows = self._rows[: len(lengths)]
        self.keys[layer][rows, :, lengths] = keys
        self.values[layer][rows, :, lengths] = values

    def read(self, layer: int, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the first rows and positions: `[rows, heads, length, head]` each."""
        return self.keys[layer, :rows, :, :length], self.values[layer, :rows, :, :length]

    def positions(self, lengths: Tensor, attended_length: int) -> StepPositions:
        """What a step's layers have in common: rows of `lengths` tokens, `attended_length` at most."""
        return StepPositions(lengths, attended_length)

    def attend(self, layer: int, qkv: Tensor, positions: StepPositions) -> Tensor:
        """Write one token for each of the first rows; attention of its query to the row's tokens.

        `qkv` `[rows, 3 * state]` are the tokens' queries, keys and values; the result is `[rows, state]`.
        """
        rows = qkv.view(len(qkv), 3, self.keys.shape[2], self.keys.shape[4])
        output = torch.zeros_like(rows[:, 0])
        _attend(
            rows.numpy(),
            self.keys[layer].numpy(),
            self.values[layer].numpy(),
            positions.lengths.numpy(),
            self._scale,
            output.numpy(),
        )
        return output.view(len(qkv), -1)

    def copy(self, sources: Tensor, targets: Tensor, positions: slice) -> None:
        """Copy `positions` of rows `sources` to rows `targets`."""
        self.keys[:, targets, :, positions] = self.keys[:, sources, :, positions]
        self.values[:, targets, :, positions] = self.values[:, sources, :, positions]


class MaskedKVCache(KVCache):
    """A KVCache whose rows attend all at once, any position masked that they don't use: for GPUs.

    It is allocated at once. Unused positions must be finite: masking does not neutralise NaN.
    """

    def __init__(self, shape: tuple[int, int, int, int, int], like: Tensor) -> None:
        super().__init__(shape, like)
        self._positions = torch.arange(shape[3], device=like.device)

    def _allocated(self, shape: Sequence[int], like: Tensor) -> Tensor:
        return torch.zeros(*shape, dtype=like.dtype, device=like.device)

    def prepare(self, rows: slice) -> None:
        """Zero some rows, so that what other windows left there is finite."""
        self.keys[:, rows] = 0
        self.values[:, rows] = 0

    def positions(self, lengths: Tensor, attended_length: int) -> StepPositions:
        """With the mask, which would else be made in every layer."""
        unused = (self._positions[:attended_length] > lengths[:, None])[:, None, None]
        mask = torch.zeros(unused.shape, dtype=self.keys.dtype, device=unused.device)
        return StepPositions(lengths, attended_length, mask.masked_fill_(unused, float("-inf")))

    def attend(self, layer: int, qkv: Tensor, positions: StepPositions) -> Tensor:
        """As a KVCache does."""
        q, k, v = qkv.view(len(qkv), 3, self.keys.shape[2], self.keys.shape[4]).unbind(1)
        self.write_step(layer, positions.lengths, k, v)
        keys, values = self.read(layer, len(qkv), positions.attended_length)
        output = F.scaled_dot_product_attention(q[:, :, None], keys, values, attn_mask=positions.mask)
        return output.reshape(len(qkv), -1)


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _attend(  # noqa: PLR0917 (numba takes arrays, not objects)
    qkv: NDArray[np.float32],
    keys: NDArray[np.float32],
    values: NDArray[np.float32],
    lengths: NDArray[np.int64],
    scale: float,
    output: NDArray[np.float32],
) -> None:
    """KVCache.attend, row by row and head by head. Unused positions are not read."""
    rows, _, heads, width = qkv.shape
    scores = np.empty(keys.shape[2], np.float32)
    for row in range(rows):
        position = lengths[row]
        for head in range(heads):
            for i in range(width):
                keys[row, head, position, i] = qkv[row, 1, head, i]
                values[row, head, position, i] = qkv[row, 2, head, i]
            for key in range(position + 1):
                total = np.float32(0)
                for i in range(width):
                    total += qkv[row, 0, head, i] * keys[row, head, key, i]
                scores[key] = total * np.float32(scale)
            max_score = scores[: position + 1].max()
            softmax_sum = np.float32(0)
            for key in range(position + 1):
                scores[key] = np.exp(scores[key] - max_score)
                softmax_sum += scores[key]
            for key in range(position + 1):
                weight = scores[key] / softmax_sum
                for i in range(width):
                    output[row, head, i] += weight * values[row, head, key, i]
