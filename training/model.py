"""The network: openai-whisper's own modules, run in a way that makes them quick to train on one core."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from whisper.model import ModelDimensions, MultiHeadAttention, Whisper, sinusoids

from training.initial import initialise
from training.vocabulary import Vocabulary

WIDTH = 96
DIMENSIONS = ModelDimensions(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=WIDTH,
    n_audio_head=4,
    n_audio_layer=3,
    n_vocab=51865,
    n_text_ctx=448,
    n_text_state=WIDTH,
    n_text_head=4,
    n_text_layer=3,
)
_POSITIONS = DIMENSIONS.n_audio_ctx
_PADDING_SAMPLES = 24
_UNUSED_LOGIT = -15.0


@dataclass(frozen=True)
class Encoded:
    """`states` [B, P, width] at encoder `positions` [P]; `heard` are those of the P that hold the window.

    `bias` [P] goes on attention scores; None if every position stands for itself. `middle` [B, heard,
    width] are the window's states after the second layer.
    """

    states: torch.Tensor
    middle: torch.Tensor
    positions: torch.Tensor
    bias: torch.Tensor | None
    heard: slice


class Network(nn.Module):
    """Whisper with embeddings for the tokens in use only, and heads for phonemes and words.

    The heads are for training; `export` leaves them out. Channel 0 of the decoder's output is always 1, so
    that the one row for all tokens not in use can hold their logit at -15 whatever was heard.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self._tokens = torch.tensor(vocabulary.tokens)
        self.timestamp_rows = vocabulary.timestamp_rows
        self.whisper = Whisper(DIMENSIONS)
        self.whisper.decoder.token_embedding = nn.Identity()
        self.embedding = nn.Parameter(_first_embedding(vocabulary))
        self.phonemes = nn.Linear(WIDTH, len(vocabulary.phonemes) + 1)
        self.middle_phonemes = nn.Linear(WIDTH, len(vocabulary.phonemes) + 1)
        self.words = nn.Linear(WIDTH, len(vocabulary.words) + 1)
        initialise(self.whisper)
        self.hold_unused()

    @torch.no_grad()
    def hold_unused(self) -> None:
        """Put back what keeps unused tokens unsaid; to be called after every step."""
        self.whisper.decoder.ln.weight[0] = 0
        self.whisper.decoder.ln.bias[0] = 1
        self.embedding[-1] = 0
        self.embedding[-1, 0] = _UNUSED_LOGIT

    def encode(self, mel: torch.Tensor, lead: torch.Tensor, trail: torch.Tensor, start: int) -> Encoded:
        """Encode mel [B, 80, T] that lies at position `start` of 30 s; the rest is `lead` and `trail` [B].

        The constant rest is not computed position by position: a few random ones stand for all, with the
        logarithm of how many each stands for on their attention scores. A clip of 2 s so costs 2 s and not
        30.
        """
        window = self._convolved(mel)
        end = start + window.shape[1]
        before, after = self._padding(lead, 0, start), self._padding(trail, end, _POSITIONS)
        parts = [before, (window, torch.arange(start, end), torch.zeros(end - start)), after]
        states, positions, bias = (
            torch.cat(column, dim)
            for column, dim in zip(zip(*filter(None, parts), strict=True), (1, 0, 0), strict=True)
        )
        first = before[0].shape[1] if before else 0
        heard = slice(first, first + window.shape[1])
        padded = before or after
        return self._encoded(states, positions, bias if padded else None, heard)

    def decode(self, rows: torch.Tensor, encoded: Encoded) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Rows [B, S] -> output [B, S, width] and each layer's cross-attention weights [B, heads, S, P]."""
        decoder = self.whisper.decoder
        states = self.embedding[rows] + decoder.positional_embedding[: rows.shape[1]]
        attention = []
        for block in decoder.blocks:
            states = states + _self_attention(block.attn, block.attn_ln(states), is_causal=True)
            looked, weights = _cross_attention(block.cross_attn, block.cross_attn_ln(states), encoded)
            states = states + looked
            states = states + block.mlp(block.mlp_ln(states))
            attention.append(weights)
        return decoder.ln(states), attention

    @torch.no_grad()
    def export(self, path: Path) -> None:
        """Write a checkpoint that `whisper.load_model` takes: half precision, all 51,865 tokens."""
        state = {name: tensor.detach() for name, tensor in self.whisper.state_dict().items()}
        embedding = self.embedding[-1:].repeat(DIMENSIONS.n_vocab, 1)
        embedding[self._tokens] = self.embedding[:-1]
        state["decoder.token_embedding.weight"] = embedding
        halves = {name: _half(tensor).contiguous() for name, tensor in state.items()}
        torch.save({"dims": asdict(DIMENSIONS), "model_state_dict": halves}, path)

    def _convolved(self, mel: torch.Tensor) -> torch.Tensor:
        encoder = self.whisper.encoder
        return functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(mel)))).transpose(1, 2)

    def _padding(
        self, value: torch.Tensor, first: int, end: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """States, positions and bias for first..end, where the mel is constant; None if there are none."""
        count = min(_PADDING_SAMPLES, end - first)
        if count <= 0:
            return None
        constant = value.view(-1, 1, 1).expand(-1, DIMENSIONS.n_mels, 12).contiguous()
        state = self._convolved(constant)[:, 3:4]  # far enough from the edges
        edges = torch.linspace(first, end, count + 1)
        positions = (edges[:-1] + torch.rand(count) * edges.diff()).long().clamp(first, end - 1)
        bias = torch.full((count,), math.log((end - first) / count))
        return state.expand(-1, count, -1), positions, bias

    def _encoded(
        self, states: torch.Tensor, positions: torch.Tensor, bias: torch.Tensor | None, heard: slice
    ) -> Encoded:
        encoder = self.whisper.encoder
        states = states + encoder.positional_embedding[positions]
        middle = states
        mask = None if bias is None else bias.view(1, 1, 1, -1)
        for index, block in enumerate(encoder.blocks):
            states = states + _self_attention(block.attn, block.attn_ln(states), attn_mask=mask)
            states = states + block.mlp(block.mlp_ln(states))
            if index == 1:
                middle = states[:, heard]
        return Encoded(encoder.ln_post(states), middle, positions, bias, heard)


def _first_embedding(vocabulary: Vocabulary) -> torch.Tensor:
    """Random rows, but for timestamps the encoder's own position codes: one step is one position."""
    embedding = torch.randn(vocabulary.unknown_row + 1, WIDTH) * 0.15
    codes = sinusoids(_POSITIONS, WIDTH)
    after_last = 2 * codes[-1] - codes[-2]
    times = vocabulary.timestamp_rows
    embedding[times.start : times.stop] = 0.25 * torch.cat([codes, after_last[None]])
    embedding[:, 0] = 0
    return embedding


def _split_heads(states: torch.Tensor, heads: int) -> torch.Tensor:
    return states.unflatten(-1, (heads, -1)).transpose(1, 2)


def _joined(attention: MultiHeadAttention, values: torch.Tensor) -> torch.Tensor:
    return attention.out(values.transpose(1, 2).flatten(2))


def _projected(
    attention: MultiHeadAttention, states: torch.Tensor, source: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    projections = (attention.query(states), attention.key(source), attention.value(source))
    return tuple(_split_heads(projection, attention.n_head) for projection in projections)


def _self_attention(
    attention: MultiHeadAttention,
    states: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    is_causal: bool = False,
) -> torch.Tensor:
    query, key, value = _projected(attention, states, states)
    values = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attn_mask, is_causal=is_causal
    )
    return _joined(attention, values)


def _cross_attention(
    attention: MultiHeadAttention, states: torch.Tensor, encoded: Encoded
) -> tuple[torch.Tensor, torch.Tensor]:
    """As whisper's, but the weights [B, heads, S, P] come back too: they are trained."""
    query, key, value = _projected(attention, states, encoded.states)
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if encoded.bias is not None:
        scores = scores + encoded.bias
    weights = scores.softmax(-1)
    return _joined(attention, weights @ value), weights


def _half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor
