"""First weights: attention heads that already look at near places, which saves most of the training.

Whisper's position codes are sinusoids: a sine and a cosine of each frequency. Turning the pair by
`frequency * offset` gives the code of the place `offset` steps away, so a query that turns and a key that
does not make a head look there.
"""

import math
from collections.abc import Sequence

import torch
from whisper.model import MultiHeadAttention, Whisper, sinusoids

# By encoder layer: how far each head looks, in positions of 20 ms, and the first of the frequencies it uses.
ENCODER_HEADS = (((-2, 2, -5, 5), 0), ((-4, 4, -9, 9), 2), ((-7, 7, -14, 14), 4))
# Decoder heads 0, 1 and 2 of every layer look at the token before, the one before that, and the token itself.
DECODER_OFFSETS = (-1, -2, 0)
_AHEAD = 6  # positions: the words that are to come


@torch.no_grad()
def initialise(model: Whisper) -> None:
    """Set the weights of an untrained model in place."""
    model.encoder.conv2.weight.mul_(2)
    for block, (offsets, lowest) in zip(model.encoder.blocks, ENCODER_HEADS, strict=True):
        for head, offset in enumerate(offsets):
            look_at_offset(block.attn, head, offset, lowest, strength=1.5)
    decoder = model.decoder
    decoder.positional_embedding.copy_(0.3 * sinusoids(*decoder.positional_embedding.shape))
    for layer, block in enumerate(decoder.blocks):
        for head, offset in enumerate(DECODER_OFFSETS):
            look_at_offset(block.attn, head, offset, lowest=0, strength=1.6)
        for head in range(block.cross_attn.n_head):
            ahead = 0 if layer == 0 else _AHEAD
            look_at_offset(block.cross_attn, head, ahead, lowest=6 + head, strength=1.0)
        _pass_through([block.cross_attn.value, block.cross_attn.out])
        block.attn.out.weight.mul_(0.7)


def look_at_offset(
    attention: MultiHeadAttention, head: int, offset: int, lowest: int, strength: float
) -> None:
    """Make a head look `offset` positions away, by as many frequencies from `lowest` on as fit into it."""
    width = attention.query.weight.shape[0]
    channels, pairs = width // attention.n_head, width // 2
    own = slice(head * channels, (head + 1) * channels)
    query, key = attention.query.weight, attention.key.weight
    query[own] *= 0.1
    key[own] *= 0.1
    attention.query.bias[own] = 0
    for index, sine in enumerate(range(lowest, lowest + channels // 2)):
        angle = math.exp(-math.log(10_000) / (pairs - 1) * sine) * offset
        cosine, row = pairs + sine, own.start + 2 * index
        turned = math.cos(angle) * strength, math.sin(angle) * strength
        query[row, sine] += turned[0]
        query[row, cosine] += turned[1]
        query[row + 1, cosine] += turned[0]
        query[row + 1, sine] -= turned[1]
        key[row, sine] += strength
        key[row + 1, cosine] += strength


def _pass_through(layers: Sequence[torch.nn.Linear]) -> None:
    for layer in layers:
        identity = torch.eye(len(layer.weight))
        layer.weight.copy_(0.7 * identity + 0.05 * torch.randn_like(identity))
