"""Tokens and audio in, logits out: prompts one row at a time, then steps for all rows together."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from app.engines.batched.cross_attention import CrossKV
from app.engines.batched.encoder import join_heads, norm, split_heads
from app.engines.batched.kv_cache import KVCache, Places
from app.engines.batched.weights import DecoderBlock, DecoderWeights

Watch = Callable[[int, Tensor], None]
"""Called with a layer's number and its queries `[heads, length, head]`."""


Listen = Callable[[int, Tensor], Tensor]
"""Attention of a layer's queries `[rows, heads, 1, head]` to the audio: `[rows, 1, state]`."""


class Run(NamedTuple):
    """Neighbouring rows `first` to `end` that listen to the same window."""

    cross: CrossKV
    first: int
    end: int


class Decoder:
    """The decoder over a cache of `rows` rows."""

    def __init__(self, weights: DecoderWeights, rows: int, context: int) -> None:
        self.weights = weights
        state = weights.embedding.shape[1]
        self.head = state // weights.heads
        self.scale: float = self.head**-0.5
        shape = (len(weights.blocks), rows, weights.heads, context, self.head)
        self.cache = KVCache(shape, like=weights.embedding)
        self._places = torch.arange(context, device=weights.embedding.device)

    def read(
        self, tokens: list[int], cross: CrossKV, row: int | None = None, watch: Watch | None = None
    ) -> Tensor:
        """The final states `[length, state]` of tokens that a window is told.

        Their keys and values are kept in `row` if given; `watch` sees each layer's queries to the audio.
        """
        x = self._embed(torch.tensor(tokens, device=self._places.device), self._places[: len(tokens)])[None]
        for layer, block in enumerate(self.weights.blocks):
            q, k, v = split_heads(block.qkv(norm(x, block.attention_norm)), self.weights.heads)
            if row is not None:
                self.cache.put_prompt(layer, row, k[0], v[0])
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + block.attention_out(join_heads(attended))
            asked = self.queries(x, block)
            if watch is not None:
                watch(layer, asked[0])
            x = x + block.cross_out(join_heads(cross.attend(layer, asked[0])[None]))
            x = x + block.mlp_out(F.gelu(block.mlp_in(norm(x, block.mlp_norm))))
        return norm(x, self.weights.final_norm)[0]

    def step(self, tokens: Tensor, lengths: Tensor, longest: int, runs: list[Run]) -> Tensor:
        """One more token for each of the first rows: logits `[rows, vocabulary]`.

        `tokens` and `lengths` (what each row has seen so far) are `[rows]`; `longest` is the greatest length.
        """
        return self._forward(tokens, lengths, longest + 1, partial(self._listen_all, runs=runs))

    def _forward(self, tokens: Tensor, lengths: Tensor, longest: int, listen: Listen) -> Tensor:
        """A step over the first `longest` places of the cache, with any way to attend to the audio."""
        places = self._places_of(lengths, longest)
        x = self._embed(tokens, lengths)[:, None]
        for layer, block in enumerate(self.weights.blocks):
            qkv = block.qkv(norm(x, block.attention_norm))
            x = x + block.attention_out(self.cache.recall(layer, qkv[:, 0], places)[:, None])
            x = x + block.cross_out(listen(layer, self.queries(x, block)))
            x = x + block.mlp_out(F.gelu(block.mlp_in(norm(x, block.mlp_norm))))
        return self.logits(norm(x, self.weights.final_norm).view(len(tokens), -1))

    def logits(self, states: Tensor) -> Tensor:
        """`[n, state]` to float32 `[n, vocabulary]`."""
        logits: Tensor = self.weights.vocabulary(states).float()
        return logits

    def queries(self, x: Tensor, block: DecoderBlock) -> Tensor:
        """What `x` `[batch, length, state]` asks the audio: `[batch, heads, length, head]`, scaled."""
        batch, length, _ = x.shape
        q = block.cross_query(norm(x, block.cross_norm)) * self.scale
        return q.view(batch, length, self.weights.heads, self.head).transpose(1, 2)

    def _embed(self, tokens: Tensor, places: Tensor) -> Tensor:
        return self.weights.embedding[tokens] + self.weights.positions[places]

    def _places_of(self, lengths: Tensor, longest: int) -> Places:
        return Places(lengths, longest, (self._places[:longest] <= lengths[:, None])[:, None, None])

    def _listen_all(self, layer: int, q: Tensor, runs: list[Run]) -> Tensor:
        """Attention of each row's new token to its window: `[rows, heads, 1, head]` to `[rows, 1, state]`."""
        heard = torch.empty_like(q[:, :, 0])
        for cross, first, end in runs:
            asked = q[first:end, :, 0].transpose(0, 1)  # [heads, rows of this window, head]
            heard[first:end] = cross.attend(layer, asked).transpose(0, 1)
        return heard.view(len(q), 1, -1)
