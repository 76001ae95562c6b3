"""A checkpoint, laid out for decoding in batches on one device."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from app.checkpoints import Checkpoint
from app.checkpoints.dimensions import Dimensions
from app.engines.batched import encoder, packed_linear
from app.engines.batched.backend import Backend, backend_of
from app.engines.batched.cross_attention import CrossKV, FloatCrossKV, Int8CrossKV
from app.engines.batched.packed_linear import Pack
from app.engines.batched.token_rules import Vocabulary
from app.engines.batched.weights import (
    DecoderWeights,
    EncoderWeights,
    LayerSource,
    decoder_weights,
    encoder_weights,
)
from app.engines.interface import ModelCard
from app.engines.tokens import TokenizerTable
from app.engines.weights_files import WeightsFile, alignment_heads, open_weights

_log = logging.getLogger(__name__)

_UNAVAILABLE_PRECISION = {"cpu": "bfloat16", "cuda": "int8"}
"""Device type -> the precision that it doesn't have."""

_PACKED_BYTES: dict[Pack, int] = {packed_linear.half_weights: 2, packed_linear.int8_weights: 1}
"""What a number of a packed matrix takes."""
_EMBEDDING = "decoder.token_embedding.weight"

_MAX_INITIAL_TIMESTAMP = 50
"""openai-whisper's max_initial_timestamp: a window's first segment starts within its first second."""


@dataclass(frozen=True)
class Model:
    """Weights, tokenizers and what else the checkpoint says. `alignment_heads` are (layer, head)."""

    name: str
    dims: Dimensions
    encoder: EncoderWeights
    decoder: DecoderWeights
    tokenizers: TokenizerTable
    alignment_heads: list[tuple[int, int]]
    backend: Backend
    int8: bool
    weight_bytes: int = 0

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.backend.device

    @property
    def card(self) -> ModelCard:
        """What the checkpoint is and can do."""
        return ModelCard(
            self.name,
            self.tokenizers.languages,
            self.dims.is_multilingual,
            self.dims.n_text_ctx,
            self.weight_bytes,
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The token ids that the logit filters need."""
        tokenizer = self.tokenizers.whisper(None, "transcribe")
        return Vocabulary(
            tokenizer.eot,
            tokenizer.timestamp_begin,
            tokenizer.no_timestamps,
            self.dims.n_vocab,
            _MAX_INITIAL_TIMESTAMP,
        )

    def encode(self, mel: Tensor) -> Tensor:
        """Log-mel `[n_mels, 2 * positions]` to features `[1, positions, state]`."""
        return encoder.encode(mel.to(self.device, self.backend.dtype), self.encoder)

    def project(self, features: Tensor) -> CrossKV:
        """Features `[1, positions, state]` to every decoder layer's keys and values for cross-attention."""
        heads, layers = self.dims.n_text_head, self.dims.n_text_layer
        keys, values = encoder.cross_kv(features, self.encoder, heads, layers)
        return Int8CrossKV(keys, values) if self.int8 else FloatCrossKV(keys, values)

    def suppression_mask(self, tokens: Sequence[int]) -> Tensor:
        """`[vocabulary]`: -inf for suppressed tokens, else 0. As in openai-whisper, -1 stands for all
        non-speech tokens, and without any token nothing at all is suppressed.
        """
        mask = torch.zeros(self.dims.n_vocab, device=self.device)
        if tokens:
            mask[self._suppressed_tokens(tokens)] = float("-inf")
        return mask

    def _suppressed_tokens(self, tokens: Sequence[int]) -> list[int]:
        tokenizer = self.tokenizers.whisper(None, "transcribe")
        token_ids = [token for token in tokens if 0 <= token < self.dims.n_vocab]
        named = (
            tokenizer.transcribe,
            tokenizer.translate,
            tokenizer.sot,
            tokenizer.sot_prev,
            tokenizer.sot_lm,
        )
        not_speech = tokenizer.non_speech_tokens if -1 in tokens else ()
        return [*token_ids, *named, tokenizer.no_speech, *not_speech]


def load(checkpoint: Checkpoint, device: torch.device, precision: str) -> Model:
    """Read a checkpoint, one tensor after the other. Raises CheckpointError where it is no Whisper model.

    `precision` is `exact`, `int8` or `bfloat16`; where it can't be had here, the log says what is used.
    """
    if precision == _UNAVAILABLE_PRECISION[device.type]:
        _log.warning("WHISPER_PRECISION=%s can't be had on %s: exact is used", precision, device.type)
        precision = "exact"
    return load_for(checkpoint, backend_of(device, precision), precision)


def load_for(checkpoint: Checkpoint, backend: Backend, precision: str) -> Model:
    """As `load`, for any backend: one of float32 packs its weights for `precision`, any other one doesn't."""
    file = open_weights(checkpoint)
    pack = _packing(file, backend, precision)
    source = LayerSource(file, backend.device, backend.dtype, pack)
    return Model(
        name=checkpoint.name,
        dims=file.dims,
        # first, while there is nothing else: to pack its token embedding takes the most beside what is kept
        decoder=decoder_weights(source),
        encoder=encoder_weights(source),
        tokenizers=TokenizerTable(file.dims.is_multilingual, file.dims.num_languages),
        alignment_heads=list(alignment_heads(checkpoint, file)),
        backend=backend,
        int8=pack is packed_linear.int8_weights,
        weight_bytes=_weight_bytes(file.dims, backend.dtype.itemsize, _PACKED_BYTES.get(pack)),
    )


def _weight_bytes(dims: Dimensions, plain_bytes: int, packed_bytes: int | None) -> int:
    """What the weights take: a number of a packed matrix less than others. The embedding has its rows too."""
    shapes = dims.shapes()
    total = sum(
        prod(shape) * (packed_bytes if packed_bytes and _is_packed(name, shape) else plain_bytes)
        for name, shape in shapes.items()
    )
    return total + (prod(shapes[_EMBEDDING]) * torch.float16.itemsize if packed_bytes else 0)


def _is_packed(name: str, shape: Sequence[int]) -> bool:
    return len(shape) == 2 and name.endswith(".weight")


def _packing(file: WeightsFile, backend: Backend, precision: str) -> Pack:
    if backend.dtype != torch.float32:
        return packed_linear.plain
    if precision == "int8" and packed_linear.works(packed_linear.int8_weights, "int8"):
        return packed_linear.int8_weights
    if packed_linear.is_half(_matrices(file)) and packed_linear.works(packed_linear.half_weights, "float16"):
        return packed_linear.half_weights
    _log.info("linear layers are computed with float32 weights")
    return packed_linear.plain


def _matrices(file: WeightsFile) -> Iterator[Tensor]:
    """All that training changes and that has two dimensions: the encoder's positions are computed."""
    shapes = file.dims.shapes()
    del shapes["encoder.positional_embedding"]
    return (file.tensor(name) for name, shape in shapes.items() if len(shape) == 2)
