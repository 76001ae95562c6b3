"""A checkpoint's weights in the order in which they are used, packed layer by layer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from app import memory
from app.checkpoints.dimensions import Dimensions
from app.engines.batched.packed_linear import Linear, Pack, plain
from app.engines.weights_files import WeightsFile

BlockT = TypeVar("BlockT")


class Norm(NamedTuple):
    """Scale and shift of a layer norm, `[state]` each."""

    weight: Tensor
    bias: Tensor


class Convolution(NamedTuple):
    """Weight `[state, inputs, 3]` and bias `[state]`."""

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
    conv1: Convolution
    conv2: Convolution
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
    """Everything from tokens to logits. The rows of `embedding` may be of less precise numbers than the rest
    where they lose nothing by it, or where nothing is exact.
    """

    heads: int
    embedding: Tensor
    positions: Tensor
    blocks: list[DecoderBlock]
    final_norm: Norm
    vocabulary: Linear


@dataclass(frozen=True)
class LayerSource:
    """Layers from a file of weights: copied to a device as `dtype` one by one, and packed.

    Of the file nothing is kept, so that it may be replaced while the model serves.
    """

    file: WeightsFile
    device: torch.device
    dtype: torch.dtype
    pack: Pack

    @property
    def dims(self) -> Dimensions:
        """The model's sizes."""
        return self.file.dims

    def tensor(self, name: str) -> Tensor:
        """A tensor of its own."""
        return self.file.tensor(name).to(self.device, self.dtype, copy=True)

    def norm(self, name: str) -> Norm:
        """A layer norm."""
        return Norm(self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias"))

    def convolution(self, name: str) -> Convolution:
        """A convolution, which is not packed."""
        return Convolution(self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias"))

    def linear(self, name: str) -> Linear:
        """A linear layer."""
        return self.pack(self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias"))

    def embedding(self, name: str) -> tuple[Tensor, Linear]:
        """A matrix's rows, and the layer that it is. A plain layer's weight is kept once.

        A packed one gives no single rows: these are float16 numbers, no less precise than the packed ones.
        """
        weight = self.tensor(name)
        layer = self.pack(weight, None)
        if self.pack is plain:
            return weight, layer
        del weight  # or it would count beside the rows
        return self.file.tensor(name).to(self.device, torch.float16, copy=True), layer

    def joined(self, names: Iterable[str]) -> Linear:
        """Square layers with the same input as one; Whisper's keys have no bias, which counts as zeros."""
        layers, state = list(names), self.dims.n_text_state
        weight = torch.empty(len(layers), state, state, device=self.device, dtype=self.dtype)
        bias = torch.zeros(len(layers), state, device=self.device, dtype=self.dtype)
        for i, layer in enumerate(layers):
            weight[i].copy_(self.file.tensor(f"{layer}.weight"))
            if not layer.endswith(".key"):
                bias[i].copy_(self.file.tensor(f"{layer}.bias"))
        return self.pack(weight.flatten(0, 1), bias.flatten())

    def blocks(self, read: Callable[["LayerSource", str], BlockT], side: str, count: int) -> list[BlockT]:
        """All blocks of the encoder or the decoder.

        After each its temporary copies go back to the system: glibc would keep them, between what is packed.
        """
        blocks = []
        for i in range(count):
            blocks.append(read(self, f"{side}.blocks.{i}"))
            memory.trim()
        return blocks


def encoder_weights(source: LayerSource) -> EncoderWeights:
    """The encoder, and the decoder's projections of what it gives."""
    return EncoderWeights(
        heads=source.dims.n_audio_head,
        conv1=source.convolution("encoder.conv1"),
        conv2=source.convolution("encoder.conv2"),
        positions=source.tensor("encoder.positional_embedding"),
        blocks=source.blocks(_encoder_block, "encoder", source.dims.n_audio_layer),
        final_norm=source.norm("encoder.ln_post"),
        cross_kv=_cross_kv(source),
    )


def decoder_weights(source: LayerSource) -> DecoderWeights:
    """The decoder."""
    # before the blocks, while there is little else: no other weight takes so much while it is packed
    embedding, vocabulary = source.embedding("decoder.token_embedding.weight")
    return DecoderWeights(
        heads=source.dims.n_text_head,
        embedding=embedding,
        positions=source.tensor("decoder.positional_embedding"),
        blocks=source.blocks(_decoder_block, "decoder", source.dims.n_text_layer),
        final_norm=source.norm("decoder.ln"),
        vocabulary=vocabulary,
    )


def _encoder_block(source: LayerSource, name: str) -> EncoderBlock:
    return EncoderBlock(
        attention_norm=source.norm(f"{name}.attn_ln"),
        qkv=_qkv(source, f"{name}.attn"),
        attention_out=source.linear(f"{name}.attn.out"),
        mlp_norm=source.norm(f"{name}.mlp_ln"),
        mlp_in=source.linear(f"{name}.mlp.0"),
        mlp_out=source.linear(f"{name}.mlp.2"),
    )


def _decoder_block(source: LayerSource, name: str) -> DecoderBlock:
    return DecoderBlock(
        attention_norm=source.norm(f"{name}.attn_ln"),
        qkv=_qkv(source, f"{name}.attn"),
        attention_out=source.linear(f"{name}.attn.out"),
        cross_norm=source.norm(f"{name}.cross_attn_ln"),
        cross_query=source.linear(f"{name}.cross_attn.query"),
        cross_out=source.linear(f"{name}.cross_attn.out"),
        mlp_norm=source.norm(f"{name}.mlp_ln"),
        mlp_in=source.linear(f"{name}.mlp.0"),
        mlp_out=source.linear(f"{name}.mlp.2"),
    )


def _qkv(source: LayerSource, attention: str) -> Linear:
    """Queries, keys and values from one product."""
    return source.joined(f"{attention}.{layer}" for layer in ("query", "key", "value"))


def _cross_kv(source: LayerSource) -> Linear:
    """The keys and values of every decoder layer from one product."""
    attentions = [f"decoder.blocks.{i}.cross_attn" for i in range(source.dims.n_text_layer)]
    return source.joined(f"{attention}.{layer}" for attention in attentions for layer in ("key", "value"))
