"""The text decoder: prefill of one row's prompt, then decoding steps for all rows together."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from app.engines.batched.cross_attention import CrossKV
from app.engines.batched.encoder import join_heads, norm, split_heads
from app.engines.batched.kv_cache import KVCache
from app.engines.batched.weights import DecoderBlock, DecoderWeights

OnQueries = Callable[[int, Tensor], None]
"""Called with a layer's number and its cross-attention queries `[heads, length, head]`."""

CrossAttend = Callable[[int, Tensor], Tensor]
"""Cross-attention of a layer's queries `[rows, heads, 1, head]`: `[rows, 1, state]`."""


class RowRange(NamedTuple):
    """Neighbouring rows `first` to `end` (excluded) of the same window."""

    cross: CrossKV
    first: int
    end: int


class Decoder:
    """Whisper's decoder with a KV cache of `rows` rows and `context` positions."""

    cache_class = KVCache

    def __init__(self, weights: DecoderWeights, rows: int, context: int) -> None:
        self.weights = weights
        state = weights.embedding.shape[1]
        self.head = state // weights.heads
        self.scale: float = self.head**-0.5
        shape = (len(weights.blocks), rows, weights.heads, context, self.head)
        self.cache = self.cache_class(shape, like=weights.positions)
        self._positions = torch.arange(context, device=weights.embedding.device)

    def prefill(
        self, tokens: list[int], cross: CrossKV, row: int | None = None, on_queries: OnQueries | None = None
    ) -> Tensor:
        """All tokens of a sequence in one pass: their final states `[length, state]`.

        With `row` their keys and values are written to the cache; without, the cache stays as it is.
        """
        token_ids = torch.tensor(tokens, device=self._positions.device)
        x = self._embed(token_ids, self._positions[: len(tokens)])[None]
        for layer, block in enumerate(self.weights.blocks):
            q, k, v = split_heads(block.qkv(norm(x, block.attention_norm)), self.weights.heads)
            if row is not None:
                self.cache.write_prompt(layer, row, k[0], v[0])
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + block.attention_out(join_heads(attended))
            queries = self._cross_queries(x, block)[0]
            if on_queries is not None:
                on_queries(layer, queries)
            x = x + block.cross_out(join_heads(cross.attend(layer, queries)[None]))
            x = x + block.mlp_out(F.gelu(block.mlp_in(norm(x, block.mlp_norm))))
        return norm(x, self.weights.final_norm)[0]

    def step(self, tokens: Tensor, lengths: Tensor, max_length: int, row_ranges: list[RowRange]) -> Tensor:
        """One more token for each of the first rows: logits `[rows, vocabulary]`.

        `tokens` `[rows]` are the new ones; `lengths` `[rows]` count those in the cache; `max_length` is the
        greatest of them.
        """
        cross_attend = partial(self._attend_to_windows, row_ranges=row_ranges)
        return self.logits(self._step_states(tokens, lengths, max_length + 1, cross_attend))

    def shrink(self, rows: int) -> None:
        """Free memory that `rows` rows can do without; no row runs now, and no more than these will."""

    def _step_states(
        self, tokens: Tensor, lengths: Tensor, attended_length: int, cross_attend: CrossAttend
    ) -> Tensor:
        """The final states `[rows, state]` of a step that attends to the first `attended_length` positions,
        with any kind of cross-attention.
        """
        positions = self.cache.positions(lengths, attended_length)
        x = self._embed(tokens, lengths)[:, None]
        for layer, block in enumerate(self.weights.blocks):
            qkv = block.qkv(norm(x, block.attention_norm))
            x = x + block.attention_out(self.cache.attend(layer, qkv[:, 0], positions)[:, None])
            x = x + block.cross_out(cross_attend(layer, self._cross_queries(x, block)))
            x = x + block.mlp_out(F.gelu(block.mlp_in(norm(x, block.mlp_norm))))
        return norm(x, self.weights.final_norm).view(len(tokens), -1)

    def logits(self, states: Tensor) -> Tensor:
        """`[n, state]` to float32 `[n, vocabulary]`."""
        logits: Tensor = self.weights.vocabulary(states).float()
        return logits

    def _cross_queries(self, x: Tensor, block: DecoderBlock) -> Tensor:
        """Scaled queries of `x` `[batch, length, state]`: `[batch, heads, length, head]`."""
        batch, length, _ = x.shape
        q = block.cross_query(norm(x, block.cross_norm)) * self.scale
        return q.view(batch, length, self.weights.heads, self.head).transpose(1, 2)

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self.weights.embedding[tokens] + self.weights.positions[positions]

    def _attend_to_windows(self, layer: int, q: Tensor, row_ranges: list[RowRange]) -> Tensor:
        """Cross-attention of queries `[rows, heads, 1, head]` to each row's window: `[rows, 1, state]`."""
        output = torch.empty_like(q[:, :, 0])
        for cross, first, end in row_ranges:
            queries = q[first:end, :, 0].transpose(0, 1)  # [heads, rows of this window, head]
            output[first:end] = cross.attend(layer, queries).transpose(0, 1)
        return output.view(len(q), 1, -1)
