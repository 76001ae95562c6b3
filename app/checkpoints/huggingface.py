"""Weights as Hugging Face's transformers write them: config.json with safetensors files, one or several."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from app.checkpoints.architecture import other_architecture
from app.checkpoints.checkpoint import Checkpoint
from app.checkpoints.config_file import CONFIG, Heads, alignment_heads, read_object
from app.checkpoints.dimensions import Dimensions, Shape
from app.checkpoints.sha256 import sha256_of_all
from app.checkpoints.tokenizer_files import require_openais
from app.errors import CheckpointError

GENERATION_CONFIG = "generation_config.json"
WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
SUFFIX = ".safetensors"

TYPES = ("F16", "F32", "BF16")
OUTPUT_LAYER = "proj_out.weight"

_SIZES = {
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions",
    "n_text_state": "d_model",
    "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers",
}
"""openai-whisper's names of the sizes -> those in config.json."""

_PARTS = {
    "blocks": "layers",
    "attn": "self_attn",
    "attn_ln": "self_attn_layer_norm",
    "cross_attn": "encoder_attn",
    "cross_attn_ln": "encoder_attn_layer_norm",
    "mlp_ln": "final_layer_norm",
    "ln_post": "layer_norm",
    "ln": "layer_norm",
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "out": "out_proj",
    "token_embedding": "embed_tokens",
    "positional_embedding": "embed_positions.weight",
}
"""Parts of openai-whisper's names of tensors -> transformers'."""

_SAVE = "transformers.WhisperForConditionalGeneration.from_pretrained('{0}').save_pretrained('{0}-safe')"
_MERGE = (
    "peft.PeftModel.from_pretrained(transformers.WhisperForConditionalGeneration.from_pretrained({base!r}), "
    "'{folder}').merge_and_unload().save_pretrained('{folder}-merged')"
)


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies, and what it is called there."""

    file: Path
    name: str


@dataclass(frozen=True)
class HuggingFaceModel:
    """What the files say, read without torch. `tensors` are by openai-whisper's names."""

    dims: Dimensions
    alignment_heads: Heads | None
    tensors: Mapping[str, StoredTensor]
    output_layer: StoredTensor | None
    """The output layer, where it is stored beside the token embedding that it must be equal to."""


def claims(path: Path) -> bool:
    """Whether it is a .safetensors file or a folder, whatever is in it."""
    return path.is_dir() or (path.is_file() and path.suffix == SUFFIX)


def checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a folder, or in a file beside its config.json. Raises CheckpointError."""
    folder, files = _files(path)
    require_openais(folder, read(path).dims)
    stated = [folder / name for name in (CONFIG, GENERATION_CONFIG, INDEX)]
    beside = [file for file in stated if file.is_file() and (file.name != INDEX or len(files) > 1)]
    return Checkpoint(_name(path), path, sha256_of_all([*beside, *files]), "huggingface")


def read(path: Path) -> HuggingFaceModel:
    """Check all that can be known without the weights themselves. Raises CheckpointError."""
    folder, files = _files(path)
    config = read_object(folder / CONFIG)
    _require_whisper(config, folder / CONFIG)
    dims = Dimensions.of({ours: config.get(theirs) for ours, theirs in _SIZES.items()}, folder / CONFIG)
    stored = {name: found for file in files for name, found in _tensors(file)}
    tensors = {name: stored[theirs] for name, theirs in _named(dims, stored) if theirs in stored}
    dims.require(path, {name: shape for name, (_, shape) in tensors.items()})
    output = stored.get(OUTPUT_LAYER)
    return HuggingFaceModel(
        dims,
        _heads(folder, config, dims),
        {name: tensor for name, (tensor, _) in tensors.items()},
        output[0] if output else None,
    )


def stored_name(name: str) -> str:
    """transformers' name, without `model.` before it, of a tensor that openai-whisper calls `name`."""
    name = name.replace("mlp.0", "fc1").replace("mlp.2", "fc2")
    return ".".join(_PARTS.get(part, part) for part in name.split("."))


def _named(dims: Dimensions, stored: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Pairs of openai-whisper's name and the stored one; a bare WhisperModel's have no `model.` there."""
    prefix = "model." if any(name.startswith("model.") for name in stored) else ""
    return ((name, prefix + stored_name(name)) for name in dims.shapes())


def _files(path: Path) -> tuple[Path, list[Path]]:
    """The folder, and the files in it that hold weights. Raises CheckpointError."""
    if path.is_file():
        return path.parent, [path]
    if (path / WEIGHTS).is_file():
        return path, [path / WEIGHTS]
    if (path / INDEX).is_file():
        return path, _shards(path)
    raise CheckpointError(_no_weights(path))


def _shards(folder: Path) -> list[Path]:
    names = read_object(folder / INDEX).get("weight_map")
    if not isinstance(names, dict) or not names or not all(map(_is_file_name, names.values())):
        raise CheckpointError(
            f"{folder / INDEX} doesn't say which files beside it hold which tensors; copy it anew, "
            "names with a path in them are not followed."
        )
    files = [folder / name for name in sorted(set(names.values()))]
    if missing := [file.name for file in files if not file.is_file()]:
        raise CheckpointError(
            f"{folder} lacks {', '.join(missing)}, which {INDEX} names; copy all files of the model."
        )
    return files


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(rf"[\w.-]+{re.escape(SUFFIX)}", value) is not None


def _no_weights(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file():
        base = str(read_object(folder / "adapter_config.json").get("base_model_name_or_path"))
        # only a plain name is put into a command, which people paste into their shells
        command = _MERGE.format(base=base if re.fullmatch(r"[\w./-]+", base) else "BASE", folder=folder)
        return (
            f"{folder} holds a LoRA adapter, which is only the difference to another model; "
            f'merge both first, where peft is installed: python -c "import peft, transformers; {command}"'
        )
    pickles = sorted(file.name for file in folder.glob("*.bin"))
    if (folder / CONFIG).is_file() and pickles:
        return (
            f"{folder} holds pickled weights ({pickles[0]}), which could run any code; convert them where "
            f'transformers is installed: python -c "import transformers; {_SAVE.format(folder)}"'
        )
    return (
        f"{folder} is a folder without {WEIGHTS} or {INDEX}; set WHISPER_MODEL to a folder with {CONFIG} and "
        f"{WEIGHTS}, to a CTranslate2 folder with {CONFIG} and model.bin, or to a .pt file."
    )


def _require_whisper(config: Mapping[str, object], path: Path) -> None:
    if config.get("model_type") != "whisper":
        raise CheckpointError(
            f"{path} describes a model of type {config.get('model_type')!r}; bring one of type 'whisper'."
        )
    known = (("activation_function", "gelu"), ("scale_embedding", False))
    for key, expected in known:
        if config.get(key, expected) != expected:
            difference = f"{key} {config[key]!r}, and Whisper's is {expected!r}"
            raise other_architecture(path, difference)


def _tensors(file: Path) -> Iterator[tuple[str, tuple[StoredTensor, Shape]]]:
    """Names, places and shapes from a file's header, which the safetensors package checks."""
    with opened(file, "numpy") as header:
        for name in header.keys():  # noqa: SIM118 (it is no dictionary)
            part = header.get_slice(name)
            if part.get_dtype() not in TYPES:
                raise CheckpointError(
                    f"{file} holds {name} as {part.get_dtype()}, not as {', '.join(TYPES)}; "
                    "bring weights that are not quantized."
                )
            yield name, (StoredTensor(file, name), tuple(part.get_shape()))


def opened(file: Path, framework: str) -> Any:
    """An open safetensors file. Raises CheckpointError if it is damaged or can't be read."""
    try:
        return safe_open(file, framework=framework)
    except OSError as error:
        raise CheckpointError(
            f"{file} can't be read ({error}); make it readable for the server's user."
        ) from error
    except SafetensorError as error:
        raise CheckpointError(
            f"{file} is cut off or damaged ({error}), or no safetensors file; copy it anew."
        ) from error


def _heads(folder: Path, config: Mapping[str, object], dims: Dimensions) -> Heads | None:
    path = folder / GENERATION_CONFIG
    stated = alignment_heads(read_object(path), dims, path) if path.is_file() else None
    return stated or alignment_heads(config, dims, folder / CONFIG)


def _name(path: Path) -> str:
    """A file's stem, or its folder's name; for a folder of Hugging Face's cache the model's id."""
    if path.suffix == SUFFIX and path.stem.partition(".")[0] != "model":
        return path.stem
    folder = path.parent if path.suffix == SUFFIX else path
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/")
    return folder.name
