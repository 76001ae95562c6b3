"""Small Whisper models in other formats: Hugging Face's, written by transformers, and CTranslate2's."""

import json
import struct
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor
from transformers import GenerationConfig, WhisperForConditionalGeneration
from transformers.utils.logging import disable_progress_bar

from app.checkpoints import found_at
from app.checkpoints.dimensions import Dimensions
from app.checkpoints.huggingface import stored_name
from app.engines.weights_files import open_weights
from benchmarks.transformers_config import whisper_config

disable_progress_bar()

DEMO = Path(__file__).parents[1] / "models" / "demo.pt"

DISTILLED = Dimensions(128, 1500, 32, 2, 3, 51866, 448, 32, 2, 2)
"""As distilled models of large-v3 are: few layers in the decoder, 128 mel bands, 100 languages."""

LARGE_V3_HEADS = [[7, 0], [10, 17], [12, 18], [1, 1], [13, 12], [1, 0]]
"""Heads that distilled models come with: most are of layers that they don't have."""

TYPES = {torch.float32: 0, torch.int8: 1, torch.int16: 2, torch.float16: 4, torch.bfloat16: 5}
"""CTranslate2's numbers of types."""


def random_model(dims: Dimensions = DISTILLED, seed: int = 0) -> WhisperForConditionalGeneration:
    """A model of transformers' own with random weights, biases too, which transformers leaves at zero."""
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(whisper_config(dims)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed_positions" not in name:
                parameter.normal_(std=0.1 if parameter.ndim == 1 else 0.05)
            if "layer_norm.weight" in name:
                parameter.add_(1)
    return model


def demo_model() -> WhisperForConditionalGeneration:
    """The demo model as one of transformers'."""
    weights = open_weights(found_at(DEMO))
    model = WhisperForConditionalGeneration(whisper_config(weights.dims)).eval()
    tensors = {f"model.{stored_name(name)}": weights.tensor(name) for name in weights.dims.shapes()}
    with torch.no_grad():
        model.load_state_dict(tensors | {"proj_out.weight": tensors["model.decoder.embed_tokens.weight"]})
    return model


def write_hugging_face(
    folder: Path,
    model: WhisperForConditionalGeneration,
    dtype: torch.dtype = torch.float32,
    heads: object = None,
    shard_size: str = "5GB",
) -> Path:
    """A folder as transformers writes it; `heads` go to generation_config.json."""
    copy = deepcopy(model).to(dtype)
    copy.generation_config = GenerationConfig(alignment_heads=heads) if heads else GenerationConfig()
    copy.save_pretrained(folder, max_shard_size=shard_size)
    return folder


def write_ctranslate2(
    folder: Path,
    weights: Mapping[str, Tensor],
    dims: Dimensions,
    type: str = "float16",
    heads: object = None,
    **changes: Tensor | str | None,
) -> Path:
    """A folder as CTranslate2's converter writes it, of tensors under openai-whisper's names.

    `type` is float32, float16, bfloat16, or int8 with float32 for what isn't a matrix. `changes` are
    variables that are added, replaced or, with None, left out; a text is another variable's name.
    """
    folder.mkdir(exist_ok=True)
    variables: dict[str, Tensor | str] = {
        "encoder/num_heads": torch.tensor(dims.n_audio_head, dtype=torch.int16),
        "decoder/num_heads": torch.tensor(dims.n_text_head, dtype=torch.int16),
        "decoder/activation": torch.tensor(3, dtype=torch.int8),
        "decoder/scale_embeddings": torch.tensor(0, dtype=torch.int8),
        "decoder/projection/weight": "decoder/embeddings/weight",
    }
    for name, tensor in _fused(weights, dims):
        variables |= _stored(name, tensor, type)
    variables |= changes  # type: ignore[arg-type]
    (folder / "model.bin").write_bytes(model_bin(variables))
    settings = {"alignment_heads": heads, "lang_ids": [], "suppress_ids": []}
    (folder / "config.json").write_text(json.dumps(settings if heads else {"lang_ids": []}))
    return folder


def model_bin(variables: Mapping[str, Tensor | str | None], specification: str = "WhisperSpec") -> bytes:
    """CTranslate2's file of variables, and of other names where the value is a text."""
    stored = {name: value for name, value in sorted(variables.items()) if isinstance(value, Tensor)}
    aliases = {name: value for name, value in sorted(variables.items()) if isinstance(value, str)}
    parts = [struct.pack("<I", 6), _text(specification), struct.pack("<II", 3, len(stored))]
    for name, tensor in stored.items():
        data = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        parts += [_text(name), struct.pack(f"<B{tensor.ndim}I", tensor.ndim, *tensor.shape)]
        parts += [struct.pack("<BI", TYPES[tensor.dtype], len(data)), data]
    parts.append(struct.pack("<I", len(aliases)))
    parts += [_text(name) for pair in aliases.items() for name in pair]
    return b"".join(parts)


def _text(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def _stored(name: str, tensor: Tensor, type: str) -> dict[str, Tensor]:
    if type != "int8":
        return {name: tensor.to(getattr(torch, type))}
    if not name.endswith("/weight"):
        return {name: tensor.float()}
    rows = tensor.float().flatten(1)
    largest = rows.abs().amax(1)
    scale = 127 / torch.where(largest == 0, 127, largest)
    return {name: (rows * scale[:, None]).round().to(torch.int8).view(tensor.shape), f"{name}_scale": scale}


def _fused(weights: Mapping[str, Tensor], dims: Dimensions) -> Iterator[tuple[str, Tensor]]:
    """Variables in CTranslate2's names: queries, keys and values are one layer there."""
    for side, layers, last in (
        ("encoder", dims.n_audio_layer, "ln_post"),
        ("decoder", dims.n_text_layer, "ln"),
    ):
        yield f"{side}/position_encodings/encodings", weights[f"{side}.positional_embedding"]
        yield from _norm(weights, f"{side}.{last}", f"{side}/layer_norm")
        for i in range(layers):
            ours, theirs = f"{side}.blocks.{i}", f"{side}/layer_{i}"
            attention = f"{theirs}/self_attention"
            yield from _norm(weights, f"{ours}.attn_ln", f"{attention}/layer_norm")
            yield from _linear(weights, f"{attention}/linear_0", ours, "attn.query", "attn.key", "attn.value")
            yield from _linear(weights, f"{attention}/linear_1", ours, "attn.out")
            if side == "decoder":
                attention = f"{theirs}/attention"
                yield from _norm(weights, f"{ours}.cross_attn_ln", f"{attention}/layer_norm")
                yield from _linear(weights, f"{attention}/linear_0", ours, "cross_attn.query")
                yield from _linear(
                    weights, f"{attention}/linear_1", ours, "cross_attn.key", "cross_attn.value"
                )
                yield from _linear(weights, f"{attention}/linear_2", ours, "cross_attn.out")
            yield from _norm(weights, f"{ours}.mlp_ln", f"{theirs}/ffn/layer_norm")
            yield from _linear(weights, f"{theirs}/ffn/linear_0", ours, "mlp.0")
            yield from _linear(weights, f"{theirs}/ffn/linear_1", ours, "mlp.2")
    for conv in ("conv1", "conv2"):
        yield from _linear(weights, f"encoder/{conv}", "encoder", conv)
    yield "decoder/embeddings/weight", weights["decoder.token_embedding.weight"]


def _norm(weights: Mapping[str, Tensor], ours: str, theirs: str) -> Iterator[tuple[str, Tensor]]:
    yield f"{theirs}/gamma", weights[f"{ours}.weight"]
    yield f"{theirs}/beta", weights[f"{ours}.bias"]


def _linear(
    weights: Mapping[str, Tensor], theirs: str, block: str, *layers: str
) -> Iterator[tuple[str, Tensor]]:
    rows = [weights[f"{block}.{layer}.weight"] for layer in layers]
    biases = [
        weights.get(f"{block}.{layer}.bias", torch.zeros(len(row)))
        for layer, row in zip(layers, rows, strict=True)
    ]
    yield f"{theirs}/weight", torch.cat(rows)
    yield f"{theirs}/bias", torch.cat(biases)
