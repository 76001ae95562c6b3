"""A checkpoint's weights in the order in which they are used."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from app.engines.batched.packed_linear import Linear, Pack


class Norm(NamedTuple):
    """Scale and shift of a layer norm, `[state]` each."""

    weight: Tensor
    bias: Tensor


class EncoderBlock(NamedTuple):
    """Self-attention (queries, keys and values in one layer), then the MLP."""

    attention_norm: Norm
    qkv: Linear
    attention_out: Linear
    mlp_norm: Norm
    mlp_in: Linear
    mlp_out: Linear


class EncoderWeights(NamedTuple):
    """Everything from log-mel to audio features, and from those to every decoder layer's keys and values."""

    heads: int
    conv1: Any
    conv2: Any
    positions: Tensor
    blocks: list[EncoderBlock]
    final_norm: Norm
    cross_kv: Linear


class DecoderBlock(NamedTuple):
    """Self-attention, attention to the audio, MLP."""

    attention_norm: Norm
    qkv: Linear
    attention_out: Linear
    cross_norm: Norm
    cross_query: Linear
    cross_out: Linear
    mlp_norm: Norm
    mlp_in: Linear
    mlp_out: Linear


class DecoderWeights(NamedTuple):
    """Everything from tokens to logits."""

    heads: int
    embedding: Tensor
    positions: Tensor
    blocks: list[DecoderBlock]
    final_norm: Norm
    vocabulary: Linear


def encoder_weights(model: Any, pack: Pack) -> EncoderWeights:
    """The encoder of a `whisper.model.Whisper`, its linear layers packed."""
    encoder = model.encoder
    return EncoderWeights(
        heads=model.dims.n_audio_head,
        conv1=encoder.conv1,
        conv2=encoder.conv2,
        positions=encoder.positional_embedding,
        blocks=[_encoder_block(block, pack) for block in encoder.blocks],
        final_norm=_norm(encoder.ln_post),
        cross_kv=_cross_kv(model.decoder.blocks, pack),
    )


def decoder_weights(model: Any, pack: Pack) -> DecoderWeights:
    """The decoder of a `whisper.model.Whisper`, its linear layers packed."""
    decoder = model.decoder
    embedding = decoder.token_embedding.weight.detach()
    return DecoderWeights(
        heads=model.dims.n_text_head,
        embedding=embedding,
        positions=decoder.positional_embedding.detach(),
        blocks=[_decoder_block(block, pack) for block in decoder.blocks],
        final_norm=_norm(decoder.ln),
        vocabulary=pack(embedding, None),
    )


def _encoder_block(block: Any, pack: Pack) -> EncoderBlock:
    return EncoderBlock(
        attention_norm=_norm(block.attn_ln),
        qkv=_qkv(block.attn, pack),
        attention_out=_linear(block.attn.out, pack),
        mlp_norm=_norm(block.mlp_ln),
        mlp_in=_linear(block.mlp[0], pack),
        mlp_out=_linear(block.mlp[2], pack),
    )


def _decoder_block(block: Any, pack: Pack) -> DecoderBlock:
    return DecoderBlock(
        attention_norm=_norm(block.attn_ln),
        qkv=_qkv(block.attn, pack),
        attention_out=_linear(block.attn.out, pack),
        cross_norm=_norm(block.cross_attn_ln),
        cross_query=_linear(block.cross_attn.query, pack),
        cross_out=_linear(block.cross_attn.out, pack),
        mlp_norm=_norm(block.mlp_ln),
        mlp_in=_linear(block.mlp[0], pack),
        mlp_out=_linear(block.mlp[2], pack),
    )


def _norm(norm: Any) -> Norm:
    return Norm(norm.weight.detach(), norm.bias.detach())


def _linear(layer: Any, pack: Pack) -> Linear:
    return pack(layer.weight.detach(), layer.bias.detach())


def _qkv(attention: Any, pack: Pack) -> Linear:
    """Queries, keys and values from one product; Whisper's keys have no bias."""
    return _joined([attention.query, attention.key, attention.value], pack)


def _cross_kv(blocks: Any, pack: Pack) -> Linear:
    """The keys and values of every decoder layer from one product."""
    layers = [layer for block in blocks for layer in (block.cross_attn.key, block.cross_attn.value)]
    return _joined(layers, pack)


def _joined(layers: list[Any], pack: Pack) -> Linear:
    weight = torch.cat([layer.weight.detach() for layer in layers])
    biases = [torch.zeros_like(layer.weight[:, 0]) if layer.bias is None else layer.bias for layer in layers]
    return pack(weight, torch.cat(biases).detach())
