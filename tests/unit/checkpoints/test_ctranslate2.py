"""Folders as CTranslate2's converter writes them: what is read of them without torch, and what is refused."""

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from app.checkpoints import Checkpoint, ctranslate2, found_at, resolve
from app.checkpoints.ctranslate2_file import read_contents
from app.errors import CheckpointError
from app.settings import Settings
from tests.foreign_weights import DISTILLED, LARGE_V3_HEADS, model_bin, write_ctranslate2
from tests.unit.checkpoints.sentences import is_one_sentence, refusal


@pytest.fixture(scope="module")
def weights() -> Mapping[str, Tensor]:
    torch.manual_seed(0)
    return {name: torch.randn(shape) for name, shape in DISTILLED.shapes().items()}


@pytest.fixture(scope="module")
def written(weights: Mapping[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ctranslate2(
        tmp_path_factory.mktemp("weights") / "mine", weights, DISTILLED, heads=LARGE_V3_HEADS
    )


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(written, tmp_path / "mine"))


@pytest.mark.parametrize("type", ["float32", "float16", "bfloat16"])
def test_a_folder(weights: Mapping[str, Tensor], tmp_path: Path, type: str) -> None:
    folder = write_ctranslate2(tmp_path / "mine", weights, DISTILLED, type, LARGE_V3_HEADS)
    checkpoint = resolve(Settings(model=str(folder)))
    assert checkpoint == Checkpoint("mine", folder, checkpoint.sha256, "ctranslate2")
    assert (checkpoint.names, checkpoint.owner, checkpoint.notice) == (("mine",), "local", None)
    found = ctranslate2.read(folder)
    assert (found.dims, found.alignment_heads) == (DISTILLED, ((1, 0), (1, 1)))
    assert {rows.values.type for rows in found.tensors.values()} == {type}


def test_int8_weights_have_a_notice(weights: Mapping[str, Tensor], tmp_path: Path) -> None:
    checkpoint = found_at(write_ctranslate2(tmp_path / "mine", weights, DISTILLED, "int8"))
    assert checkpoint.quantization == "int8"
    assert checkpoint.notice == "int8 weights, no longer exact"


def test_the_sha256_is_of_weights_and_settings(folder: Path) -> None:
    before = found_at(folder).sha256
    (folder / "README.md").write_text("changes nothing")
    assert found_at(folder).sha256 == before
    (folder / "config.json").write_text("{}")
    assert found_at(folder).sha256 != before


def test_safetensors_are_preferred(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"config\.json describes a model of type None"):
        found_at(folder)


def test_the_file_alone_is_not_enough(folder: Path) -> None:
    assert refusal(folder / "model.bin").endswith(f"set WHISPER_MODEL={folder}")


def test_a_missing_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert refusal(folder) == f"{folder}/config.json is missing; copy all files of the model, that one too."


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"decoder/activation": torch.tensor(0, dtype=torch.int8)}, "another activation than GELU"),
        ({"encoder/activation": torch.tensor(1, dtype=torch.int8)}, "another activation than GELU"),
        ({"decoder/scale_embeddings": torch.tensor(1, dtype=torch.int8)}, "has scale_embeddings"),
        ({"encoder/num_heads": None}, "its n_audio_head is 0, not a whole number"),
        ({"decoder/num_heads": torch.tensor(-2, dtype=torch.int16)}, "its n_text_head is -2, not a whole"),
        (
            {"encoder/num_heads": torch.tensor(3, dtype=torch.int16)},
            "can't be shared out to its attention heads",
        ),
        ({"encoder/num_heads": torch.ones(2, dtype=torch.int16)}, "its n_audio_head is 0"),
        ({"decoder/embeddings/weight": torch.ones(52000, 32)}, "a vocabulary of 52000 tokens"),
        (
            {"decoder/projection/weight": torch.ones(51866, 32).half()},
            "an output layer that is not its token",
        ),
        ({"decoder/projection/weight": torch.ones(3)}, "an output layer that is not its token embedding"),
        ({"encoder/conv1/weight": None}, "its n_mels is 0"),
        ({"encoder/conv1/weight": torch.tensor(1.0)}, "its n_mels is 0"),
        ({"encoder/conv2/bias": None}, "the tensor encoder.conv2.bias is missing"),
        ({"decoder/layer_norm/gamma": torch.ones(33)}, "the tensor decoder.ln.weight is 33, not 32"),
        ({"encoder/layer_0/self_attention/linear_0/weight": torch.ones(97, 32)}, "is 97 x 32, not 32 x 32"),
        (
            {"encoder/layer_3/ffn/linear_0/bias": torch.ones(1)},
            "encoder.blocks.3.attn.query.weight is missing",
        ),
        ({"encoder/conv2/bias": torch.ones(32, dtype=torch.int16)}, "holds encoder/conv2/bias as int16, not"),
        ({"encoder/conv2/bias": torch.ones(32, dtype=torch.int8)}, "holds encoder/conv2/bias as int8, not"),
        ({"encoder/conv2/bias_scale": torch.ones(32)}, "holds encoder/conv2/bias as float16, not"),
        (
            {"encoder/layer_0/self_attention/linear_0/bias": torch.ones(96)},
            "has a bias for keys in encoder/layer_0",
        ),
        (
            {"decoder/layer_1/attention/linear_1/bias": torch.ones(64)},
            "has a bias for keys in decoder/layer_1",
        ),
        ({"x": "y"}, "x is another name of y, which it lacks"),
    ],
)
def test_other_models(
    weights: Mapping[str, Tensor], tmp_path: Path, changes: dict[str, Tensor | str | None], problem: str
) -> None:
    folder = write_ctranslate2(tmp_path / "mine", weights, DISTILLED, **changes)
    assert problem in refusal(folder)
    assert refusal(folder).startswith(f"{folder}/model.bin ")


def test_an_equal_output_layer(weights: Mapping[str, Tensor], tmp_path: Path) -> None:
    output = {"decoder/projection/weight": weights["decoder.token_embedding.weight"].half()}
    assert (
        found_at(write_ctranslate2(tmp_path / "mine", weights, DISTILLED, **output)).format == "ctranslate2"
    )


def test_an_int8_output_layer_with_another_scale(weights: Mapping[str, Tensor], tmp_path: Path) -> None:
    scale = {"decoder/projection/weight_scale": torch.ones(51866)}
    folder = write_ctranslate2(tmp_path / "mine", weights, DISTILLED, "int8", **scale)
    assert "an output layer that is not its token embedding" in refusal(folder)


def test_another_kind_of_model(folder: Path) -> None:
    (folder / "model.bin").write_bytes(model_bin({}, "TransformerSpec"))
    assert "a model of the kind 'TransformerSpec', not 'WhisperSpec'" in refusal(folder)


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (b"", "is empty"),
        (
            b"PK\3\4" + bytes(100),
            "is no model.bin of CTranslate2 in its format 6 (its first bytes are 504b0304)",
        ),
        (struct.pack("<I", 5) + bytes(100), "its first bytes are 05000000"),
        (b"\6\0", "it ends after 2 bytes"),
        (struct.pack("<IH", 6, 3) + b"\xff\xff\0", "a name in it is no text"),
        (struct.pack("<IH", 6, 3) + b"a\n\0", "a name in it is no text"),
        (model_bin({})[:-8] + struct.pack("<I", 2**32 - 1), "it claims to hold 4294967295 variables"),
        (model_bin({})[:-8] + struct.pack("<IHBB", 1, 1, 0, 255), "has 255 dimensions"),
        (model_bin({})[:-8] + struct.pack("<IHBBBI", 1, 1, 0, 0, 6, 4), "is of the unknown type 6"),
        (model_bin({})[:-8] + struct.pack("<IHBBBI", 1, 1, 0, 0, 0, 5), "has 5 bytes instead of 4"),
        (
            model_bin({})[:-8] + struct.pack("<IHBB4IBI", 1, 1, 0, 4, *[2**32 - 1] * 4, 0, 0),
            "has 0 bytes instead of",
        ),
    ],
)
def test_damaged_and_hostile_files(folder: Path, contents: bytes, problem: str) -> None:
    (folder / "model.bin").write_bytes(contents)
    message = refusal(folder)
    assert message.startswith(f"{folder}/model.bin ")
    assert problem in message


def test_a_file_cut_off_anywhere(tmp_path: Path) -> None:
    whole = model_bin({"a/b": torch.ones(2, 3), "c": torch.tensor(1, dtype=torch.int8), "d": "c"})
    path = tmp_path / "model.bin"
    path.write_bytes(whole)
    with read_contents(path) as contents:
        assert (set(contents), contents.number("d", 0)) == ({"a/b", "c", "d"}, 1)
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="cut off or damaged"), read_contents(path):
            pass


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 200), st.integers(0, 255))
def test_any_changed_byte_is_read_or_refused(tmp_path: Path, place: int, byte: int) -> None:
    changed = bytearray(
        model_bin({"a/b": torch.ones(2, 3), "c": torch.tensor(1, dtype=torch.int8), "d": "c"})
    )
    changed[place % len(changed)] = byte
    path = tmp_path / "model.bin"
    path.write_bytes(changed)
    try:
        with read_contents(path) as contents:
            assert all(contents.get(name) for name in contents)
    except CheckpointError as error:
        assert is_one_sentence(str(error))


def test_a_real_file_cut_off(folder: Path) -> None:
    path = folder / "model.bin"
    path.write_bytes(path.read_bytes()[:-100])
    assert refusal(folder).startswith(f"{path} is cut off or damaged: it ends after")


def test_heads_that_are_none(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"alignment_heads": 7}))
    assert "no list of pairs [layer, head]; correct or remove them" in refusal(folder)
