"""Folders as transformers writes them: what is read of them without torch, and what is refused."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperForConditionalGeneration

from app.checkpoints import Checkpoint, found_at, huggingface, resolve
from app.settings import Settings
from benchmarks.transformers_config import whisper_config
from tests.foreign_weights import DISTILLED, LARGE_V3_HEADS, random_model, write_hugging_face
from tests.unit.checkpoints.sentences import refusal


@pytest.fixture(scope="module")
def model() -> WhisperForConditionalGeneration:
    return random_model()


@pytest.fixture(scope="module")
def written(model: WhisperForConditionalGeneration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "mine"
    return write_hugging_face(folder, model, torch.float16, LARGE_V3_HEADS)


@pytest.fixture(scope="module")
def sharded(model: WhisperForConditionalGeneration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hugging_face(
        tmp_path_factory.mktemp("shards") / "mine", model, torch.float16, shard_size="200KB"
    )


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(written, tmp_path / "mine"))


def change(path: Path, **changes: object) -> None:
    contents = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in contents.items() if value is not None}))


def test_a_folder(written: Path) -> None:
    checkpoint = resolve(Settings(model=str(written)))
    assert checkpoint == Checkpoint("mine", written, checkpoint.sha256, "huggingface")
    assert (checkpoint.names, checkpoint.owner, checkpoint.notice) == (("mine",), "local", None)
    found = huggingface.read(written)
    assert found.dims == DISTILLED
    assert found.alignment_heads == ((1, 0), (1, 1))
    assert found.output_layer is None


def test_sizes_without_the_files_are_not_believed(folder: Path) -> None:
    change(folder / "config.json", decoder_layers=1, num_mel_bins=80)
    assert "conv1.weight is 32 x 128 x 3, not 32 x 80 x 3" in refusal(folder)


def test_several_files(sharded: Path) -> None:
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert found_at(sharded).format == "huggingface"
    assert huggingface.read(sharded).alignment_heads is None


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("model.safetensors", "mine"),
        ("model.fp16.safetensors", "mine"),
        ("german-v2.safetensors", "german-v2"),
    ],
)
def test_a_file_beside_its_config(folder: Path, file: str, name: str) -> None:
    (folder / "model.safetensors").rename(folder / file)
    checkpoint = resolve(Settings(model=str(folder / file)))
    assert (checkpoint.name, checkpoint.path) == (name, folder / file)
    assert huggingface.read(folder / file).alignment_heads == ((1, 0), (1, 1))


def test_a_folder_of_the_cache_has_its_models_id(folder: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--somebody--whisper-mine" / "snapshots" / "0a1b2c"
    snapshot.mkdir(parents=True)
    for file in folder.iterdir():  # as there: links to files that are named after their contents
        (snapshot / file.name).symlink_to(file)
    assert found_at(snapshot).name == "somebody/whisper-mine"


def test_the_sha256_is_that_of_sha256sums_output(written: Path, sharded: Path) -> None:
    for folder in (written, sharded):
        command = (
            "LC_ALL=C; sha256sum config.json generation_config.json *.safetensors* | sort -k 2 | sha256sum"
        )
        printed = subprocess.run(
            ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True
        )
        assert found_at(folder).sha256 == printed.stdout.split()[0]


@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "model.safetensors"])
def test_each_file_that_matters_changes_the_sha256(folder: Path, file: str) -> None:
    before = found_at(folder).sha256
    if file.endswith("json"):
        change(folder / file, note="other")
    else:
        tensors = load_file(folder / file)
        tensors["model.decoder.layer_norm.bias"][0] += 1
        save_file(tensors, folder / file)
    assert found_at(folder).sha256 != before
    (folder / "README.md").write_text("changes nothing")
    assert len(found_at(folder).sha256) == 64


@pytest.mark.parametrize(
    ("generation", "settings", "heads"),
    [
        ([[1, 1]], [[1, 0]], ((1, 1),)),
        (None, [[1, 0], [0, 1], [1, 0]], ((0, 1), (1, 0))),
        ([[7, 0], [1, 2], [-1, 0]], None, None),
        ([], None, None),
        (None, None, None),
    ],
)
def test_heads_are_those_of_the_files_that_the_model_has(
    folder: Path, generation: object, settings: object, heads: object
) -> None:
    change(folder / "generation_config.json", alignment_heads=generation)
    change(folder / "config.json", alignment_heads=settings)
    assert huggingface.read(folder).alignment_heads == heads


def test_heads_without_a_generation_config(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    change(folder / "config.json", alignment_heads=[[0, 0]])
    assert huggingface.read(folder).alignment_heads == ((0, 0),)


@pytest.mark.parametrize("heads", ["[[1, 0]]", [1, 0], [[1]], [[1, "0"]], [[1.0, 0]], [[True, 0]], {"1": 0}])
def test_heads_that_are_none(folder: Path, heads: object) -> None:
    change(folder / "generation_config.json", alignment_heads=heads)
    assert "no list of pairs [layer, head]; correct or remove them" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model_type": "wav2vec2"}, "a model of type 'wav2vec2'; bring one of type 'whisper'"),
        ({"model_type": None}, "a model of type None"),
        ({"activation_function": "relu"}, "activation_function 'relu', and Whisper's is 'gelu'"),
        ({"scale_embedding": True}, "scale_embedding True, and Whisper's is False"),
        ({"vocab_size": 52000}, "a vocabulary of 52000 tokens, but OpenAI's have 51864 (English only)"),
        ({"max_source_positions": 750}, "its encoder has 750 positions, not 1500"),
        ({"num_mel_bins": 64}, "it has 64 mel bands, not 80 or 128"),
        ({"d_model": "32"}, "its n_audio_state is '32', not a whole number"),
        ({"decoder_layers": 3}, "the tensor decoder.blocks.2.attn.query.weight is missing"),
    ],
)
def test_other_models(folder: Path, changes: dict[str, object], problem: str) -> None:
    change(folder / "config.json", **changes)
    message = refusal(folder)
    assert problem in message
    assert str(folder) in message


@pytest.mark.parametrize("contents", ["", "{", "[]", "null", "[" * 100_000])
def test_a_config_that_is_none(folder: Path, contents: str) -> None:
    (folder / "config.json").write_text(contents)
    assert "config.json" in refusal(folder)
    assert refusal(folder).endswith("copy it anew.")


def test_a_config_that_is_missing(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert refusal(folder) == f"{folder}/config.json is missing; copy all files of the model, that one too."


def test_a_lora_adapter_says_how_to_merge_it(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "adapter_model.safetensors").write_bytes(b"")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "openai/whisper-small"}')
    message = refusal(folder)
    assert "a LoRA adapter" in message
    assert "from_pretrained('openai/whisper-small')" in message
    assert f"merge_and_unload().save_pretrained('{folder}-merged')" in message


def test_a_command_holds_no_name_that_a_shell_would_run(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "$(touch sprung)`"}')
    message = refusal(folder)
    assert "from_pretrained('BASE')" in message
    assert "$" not in message
    assert "`" not in message


def test_pickled_weights_say_how_to_convert_them(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    message = refusal(folder)
    assert "pickled weights (pytorch_model.bin), which could run any code" in message
    assert f"from_pretrained('{folder}').save_pretrained('{folder}-safe')" in message
    assert refusal(folder / "pytorch_model.bin").endswith(f"set WHISPER_MODEL={folder}")


@pytest.mark.parametrize("contents", [{}, {"config.json": "{}"}])
def test_a_folder_without_weights(tmp_path: Path, contents: dict[str, str]) -> None:
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    message = refusal(tmp_path)
    assert "is a folder without model.safetensors or model.safetensors.index.json" in message


def test_a_missing_shard(sharded: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "mine"))
    last = sorted(folder.glob("*.safetensors"))[-1]
    last.unlink()
    assert refusal(folder) == (
        f"{folder} lacks {last.name}, which model.safetensors.index.json names; copy all files of the model."
    )


@pytest.mark.parametrize(
    "name",
    [
        "../mine/model.safetensors",
        "/etc/passwd",
        "sub/model.safetensors",
        "..",
        "",
        "pytorch_model.bin",
        "a\0.safetensors",
        "a\nb.safetensors",
        7,
        None,
    ],
)
def test_an_index_that_leads_out_of_the_folder(folder: Path, name: object) -> None:
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    index = {"weight_map": {"model.encoder.conv1.weight": "other.safetensors", "x": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names with a path in them are not followed" in refusal(folder)


@pytest.mark.parametrize("index", [{}, {"weight_map": {}}, {"weight_map": ["model.safetensors"]}])
def test_an_index_that_names_nothing(folder: Path, index: object) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "doesn't say which files beside it hold which tensors" in refusal(folder)


@pytest.mark.parametrize("kept", [0, 5, 8, 100, 3000, -1])
def test_a_file_that_was_cut_off(folder: Path, kept: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(folder).startswith(f"{path} is cut off or damaged")


def test_a_file_of_another_format(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"noise" * 1000)
    assert "cut off or damaged" in refusal(folder)


def rewrite(folder: Path, alter: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    alter(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_a_missing_tensor(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.pop("model.encoder.layers.2.fc1.bias"))
    assert "the tensor encoder.blocks.2.mlp.0.bias is missing" in refusal(folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float64, torch.float8_e4m3fn])
def test_quantized_weights(folder: Path, dtype: torch.dtype) -> None:
    name = "model.encoder.layers.2.fc1.weight"
    rewrite(folder, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    assert "not as F16, F32, BF16; bring weights that are not quantized" in refusal(folder)


def test_a_bare_model_has_no_prefix(folder: Path) -> None:
    def alter(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("model.")] = tensors.pop(name)

    rewrite(folder, alter)
    assert huggingface.read(folder).dims == DISTILLED


def test_nothing_is_unpickled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", None)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert found_at(folder).format == "huggingface"


def test_settings_are_transformers_own() -> None:
    stated = whisper_config(DISTILLED).to_dict()
    assert {stated["model_type"], stated["activation_function"]} == {"whisper", "gelu"}
    assert stated["scale_embedding"] is False
