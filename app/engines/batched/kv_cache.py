"""Keys and values of the tokens that each running row has seen."""

import torch
from torch import Tensor


class KVCache:
    """Self-attention keys and values, `[layers, rows, heads, text_context, head]` each, allocated once.

    Row r holds `lengths[r]` tokens from position 0 on, so rows of any length run side by side. Attention
    masks the places after them, which makes no difference of NaN: they have to be finite.
    """

    def __init__(self, shape: tuple[int, int, int, int, int], like: Tensor) -> None:
        self.keys = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.values = torch.zeros(shape, dtype=like.dtype, device=like.device)

    def clear(self, rows: slice) -> None:
        """Forget whatever other windows have left in some rows."""
        self.keys[:, rows] = 0
        self.values[:, rows] = 0

    def put_prompt(self, layer: int, row: int, keys: Tensor, values: Tensor) -> None:
        """A row's first tokens: `[heads, length, head]` each."""
        self.keys[layer, row, :, : keys.shape[1]] = keys
        self.values[layer, row, :, : values.shape[1]] = values

    def put_step(self, layer: int, rows: Tensor, lengths: Tensor, keys: Tensor, values: Tensor) -> None:
        """One more token for each row: `[rows, heads, head]` each, at its own position."""
        self.keys[layer][rows, :, lengths] = keys
        self.values[layer][rows, :, lengths] = values

    def seen(self, layer: int, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the first rows, up to the longest: `[rows, heads, length, head]` each."""
        return self.keys[layer, :rows, :, :length], self.values[layer, :rows, :, :length]

    def copy(self, sources: Tensor, targets: Tensor, length: int) -> None:
        """Make rows `targets` continue from `sources`; none of them has more than `length` tokens."""
        self.keys[:, targets, :, :length] = self.keys[:, sources, :, :length]
        self.values[:, targets, :, :length] = self.values[:, sources, :, :length]
