"""Weights as CTranslate2 keeps them, the engine of faster-whisper: config.json with model.bin."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.checkpoints.architecture import other_architecture, untied
from app.checkpoints.checkpoint import Checkpoint
from app.checkpoints.config_file import CONFIG, Heads, alignment_heads, read_object
from app.checkpoints.ctranslate2_file import FLOATS, Contents, Variable, read_contents
from app.checkpoints.dimensions import Dimensions
from app.checkpoints.huggingface import INDEX, WEIGHTS
from app.checkpoints.sha256 import sha256_of_all
from app.checkpoints.tokenizer_files import require_openais
from app.errors import CheckpointError

MODEL = "model.bin"

_GELU = 3
_SPECIFICATION = "WhisperSpec"
_EMBEDDING, _OUTPUT_LAYER = "decoder/embeddings/weight", "decoder/projection/weight"

_LAYER_PARTS = {
    "attn.query": ("self_attention/linear_0", 0, 3),
    "attn.key": ("self_attention/linear_0", 1, 3),
    "attn.value": ("self_attention/linear_0", 2, 3),
    "attn.out": ("self_attention/linear_1", 0, 1),
    "attn_ln": ("self_attention/layer_norm", 0, 1),
    "cross_attn.query": ("attention/linear_0", 0, 1),
    "cross_attn.key": ("attention/linear_1", 0, 2),
    "cross_attn.value": ("attention/linear_1", 1, 2),
    "cross_attn.out": ("attention/linear_2", 0, 1),
    "cross_attn_ln": ("attention/layer_norm", 0, 1),
    "mlp.0": ("ffn/linear_0", 0, 1),
    "mlp.2": ("ffn/linear_1", 0, 1),
    "mlp_ln": ("ffn/layer_norm", 0, 1),
}
"""openai-whisper's layers of a block -> CTranslate2's, and which of how many equal parts of its rows."""

_NAMES = {
    "encoder.conv1": "encoder/conv1",
    "encoder.conv2": "encoder/conv2",
    "encoder.ln_post": "encoder/layer_norm",
    "decoder.ln": "decoder/layer_norm",
    "decoder.token_embedding": "decoder/embeddings",
}


@dataclass(frozen=True)
class StoredRows:
    """Rows of a variable: tensors that are one product in CTranslate2 are one variable there.

    `scale` are the factors that int8 weights were multiplied by, one for each row.
    """

    values: Variable
    scale: Variable | None = None


@dataclass(frozen=True)
class CTranslate2Model:
    """What the files say, read without torch. `tensors` are by openai-whisper's names."""

    dims: Dimensions
    alignment_heads: Heads | None
    file: Path
    tensors: Mapping[str, StoredRows]

    @property
    def quantized(self) -> bool:
        """Whether any weights are int8."""
        return any(tensor.scale for tensor in self.tensors.values())


def claims(path: Path) -> bool:
    """Whether it is a folder with a model.bin and no safetensors."""
    return (path / MODEL).is_file() and not (path / WEIGHTS).is_file() and not (path / INDEX).is_file()


def checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a folder. Raises CheckpointError."""
    model = read(path)
    require_openais(path, model.dims)
    sha256 = sha256_of_all([path / CONFIG, path / MODEL])
    return Checkpoint(path.name, path, sha256, "ctranslate2", "int8" if model.quantized else None)


def read(folder: Path) -> CTranslate2Model:
    """Check all that can be known without torch. Raises CheckpointError."""
    config = read_object(folder / CONFIG)
    file = folder / MODEL
    with read_contents(file) as contents:
        _require_whisper(contents)
        dims = _dimensions(contents)
        tensors = dict(_tensors(contents, dims))
        dims.require(file, {name: rows.values.shape for name, rows in tensors.items()})
        _require_no_key_biases(contents, dims)
        _require_tied(contents)
    return CTranslate2Model(dims, alignment_heads(config, dims, folder / CONFIG), file, tensors)


def _require_whisper(contents: Contents) -> None:
    if contents.specification != _SPECIFICATION:
        raise CheckpointError(
            f"{contents.path} holds a model of the kind {contents.specification!r}, not {_SPECIFICATION!r}; "
            "bring a Whisper model."
        )
    for side in ("encoder", "decoder"):
        if contents.number(f"{side}/activation", _GELU) != _GELU:
            raise other_architecture(contents.path, "another activation than GELU")
    if contents.number("decoder/scale_embeddings", 0):
        raise other_architecture(contents.path, "scale_embeddings")


def _dimensions(contents: Contents) -> Dimensions:
    _, mels, *_ = (*contents.shape("encoder/conv1/weight"), 0, 0)
    audio_context, audio_state, *_ = (*contents.shape("encoder/position_encodings/encodings"), 0, 0)
    text_context, text_state, *_ = (*contents.shape("decoder/position_encodings/encodings"), 0, 0)
    values = {
        "n_mels": mels,
        "n_audio_ctx": audio_context,
        "n_audio_state": audio_state,
        "n_audio_head": contents.number("encoder/num_heads", 0),
        "n_audio_layer": _layers(contents, "encoder"),
        "n_vocab": (*contents.shape(_EMBEDDING), 0)[0],
        "n_text_ctx": text_context,
        "n_text_state": text_state,
        "n_text_head": contents.number("decoder/num_heads", 0),
        "n_text_layer": _layers(contents, "decoder"),
    }
    return Dimensions.of(values, contents.path)


def _layers(contents: Contents, side: str) -> int:
    names = (name.split("/") for name in contents if name.startswith(f"{side}/layer_"))
    return len({parts[1] for parts in names} - {"layer_norm"})


def _tensors(contents: Contents, dims: Dimensions) -> Iterator[tuple[str, StoredRows]]:
    for name in dims.shapes():
        variable, part, parts = _variable_of(name)
        values = contents.rows(variable, part, parts)
        if values is None:
            continue
        scale = contents.rows(f"{variable}_scale", part, parts)
        _require_type(contents, variable, values, scale)
        yield name, StoredRows(values, scale)


def _variable_of(name: str) -> tuple[str, int, int]:
    """Where openai-whisper's tensor `name` lies: variable, which part of its rows, and of how many."""
    if name.endswith("positional_embedding"):
        return f"{name.partition('.')[0]}/position_encodings/encodings", 0, 1
    layer, _, kind = name.rpartition(".")
    if layer in _NAMES:
        variable, part, parts = _NAMES[layer], 0, 1
    else:
        side, _, number, ours = layer.split(".", 3)
        theirs, part, parts = _LAYER_PARTS[ours]
        variable = f"{side}/layer_{number}/{theirs}"
    if variable.endswith("layer_norm"):
        kind = {"weight": "gamma", "bias": "beta"}[kind]
    return f"{variable}/{kind}", part, parts


def _require_type(contents: Contents, variable: str, values: Variable, scale: Variable | None) -> None:
    if values.type in FLOATS and scale is None:
        return
    if values.type == "int8" and scale and scale.type in FLOATS and scale.shape == values.shape[:1]:
        return
    raise CheckpointError(
        f"{contents.path} holds {variable} as {values.type}, not {', '.join(FLOATS)} or int8 with a scale "
        "for each row; convert the original model anew with --quantization float16."
    )


def _require_no_key_biases(contents: Contents, dims: Dimensions) -> None:
    own = [f"encoder/layer_{layer}/self_attention/linear_0" for layer in range(dims.n_audio_layer)]
    own += [f"decoder/layer_{layer}/self_attention/linear_0" for layer in range(dims.n_text_layer)]
    cross = [f"decoder/layer_{layer}/attention/linear_1" for layer in range(dims.n_text_layer)]
    for variable, part, parts in (
        *((variable, 1, 3) for variable in own),
        *((variable, 0, 2) for variable in cross),
    ):
        bias = contents.rows(f"{variable}/bias", part, parts)
        if bias and contents.bytes_of(bias).strip(b"\0"):
            raise other_architecture(
                contents.path, f"a bias for keys in {variable}, which Whisper's have not"
            )


def _require_tied(contents: Contents) -> None:
    """The output layer must be the token embedding: one variable with two names, or an equal one."""
    for kind in ("", "_scale"):
        embedding, output = contents.get(_EMBEDDING + kind), contents.get(_OUTPUT_LAYER + kind)
        if output and embedding and not contents.are_equal(output, embedding):
            raise untied(contents.path)
