"""The audio encoder: log-mel to features, and features to the decoder's cross-attention keys and values.

One window at a time: a single one keeps a core busy, and batches only cost memory.
"""

import torch.nn.functional as F
from torch import Tensor

from app.engines.batched.weights import EncoderBlock, EncoderWeights, Norm


def norm(x: Tensor, by: Norm) -> Tensor:
    """Layer norm over the last dimension."""
    return F.layer_norm(x, by.weight.shape, by.weight, by.bias)


def encode(mel: Tensor, weights: EncoderWeights) -> Tensor:
    """Log-mel `[n_mels, 2 * positions]` to features `[1, positions, state]`: 1500 positions, or fewer."""
    x = F.gelu(F.conv1d(mel[None], weights.conv1.weight, weights.conv1.bias, padding=1))
    x = F.gelu(F.conv1d(x, weights.conv2.weight, weights.conv2.bias, stride=2, padding=1))
    x = x.transpose(1, 2) + weights.positions[: x.shape[2]]
    for block in weights.blocks:
        x = _block(x, block, weights.heads)
    return norm(x, weights.final_norm)


def _block(x: Tensor, block: EncoderBlock, heads: int) -> Tensor:
    q, k, v = split_heads(block.qkv(norm(x, block.attention_norm)), heads)
    attended = F.scaled_dot_product_attention(q, k, v)
    x = x + block.attention_out(join_heads(attended))
    return x + block.mlp_out(F.gelu(block.mlp_in(norm(x, block.mlp_norm))))


def split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """`[batch, length, 3 * state]` to queries, keys and values `[batch, heads, length, head]`."""
    batch, length, width = qkv.shape
    q, k, v = qkv.view(batch, length, 3, heads, width // (3 * heads)).permute(2, 0, 3, 1, 4)
    return q, k, v


def join_heads(x: Tensor) -> Tensor:
    """`[batch, heads, length, head]` to `[batch, length, state]`."""
    batch, heads, length, head = x.shape
    return x.transpose(1, 2).reshape(batch, length, heads * head)


def cross_kv(features: Tensor, weights: EncoderWeights, heads: int, layers: int) -> tuple[Tensor, Tensor]:
    """The keys and values of every decoder layer for features `[1, positions, state]`.

    Both are `[layers, heads, positions, head]`.
    """
    length, state = features.shape[1:]
    both = weights.cross_kv(features).view(length, layers, 2, heads, state // heads)
    keys, values = both.permute(2, 1, 3, 0, 4)
    return keys, values
