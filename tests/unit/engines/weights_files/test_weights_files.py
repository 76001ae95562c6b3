"""The same tensors out of every format, and alignment heads from where they belong."""

import base64
import gzip
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from app.checkpoints import DEMO_PATH, RELEASES, Checkpoint, found_at
from app.checkpoints.dimensions import Dimensions
from app.engines.weights_files import alignment_heads, mapped_pages, open_weights
from app.engines.weights_files.conversion import write
from app.engines.whisper_checkpoint import load_whisper
from app.errors import CheckpointError
from tests.foreign_weights import (
    DEMO,
    DISTILLED,
    LARGE_V3_HEADS,
    random_model,
    write_ctranslate2,
    write_hugging_face,
)

TYPES = [torch.float32, torch.float16, torch.bfloat16]


@pytest.fixture(scope="module")
def theirs() -> WhisperForConditionalGeneration:
    return random_model()


@pytest.fixture(scope="module")
def weights(
    theirs: WhisperForConditionalGeneration, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Tensor]:
    """The model's tensors under openai-whisper's names."""
    file = open_weights(found_at(write_hugging_face(tmp_path_factory.mktemp("weights") / "mine", theirs)))
    return {name: file.tensor(name).clone() for name in DISTILLED.shapes()}


def logits(model: Any, mel: Tensor, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        if isinstance(model, WhisperForConditionalGeneration):
            return model(input_features=mel, decoder_input_ids=tokens).logits
        return model(mel, tokens)


@pytest.mark.parametrize("shard_size", ["5GB", "200KB"])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_logits_are_transformers_own(
    theirs: WhisperForConditionalGeneration, tmp_path: Path, dtype: torch.dtype, shard_size: str
) -> None:
    folder = write_hugging_face(tmp_path / "mine", theirs, dtype, shard_size=shard_size)
    found = found_at(folder)
    assert open_weights(found).tensor("encoder.conv1.weight").dtype == dtype
    again = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    mel, tokens = torch.randn(1, 128, 3000), torch.tensor([[50258, 50259, 50360, 11, 22, 33]])
    expected = logits(again, mel, tokens)
    assert expected.std() > 0.1
    assert torch.allclose(logits(load_whisper(found, "cpu"), mel, tokens), expected, atol=1e-4)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_ctranslate2_holds_the_same(
    weights: Mapping[str, Tensor], tmp_path: Path, dtype: torch.dtype
) -> None:
    folder = write_ctranslate2(tmp_path / "mine", weights, DISTILLED, str(dtype).removeprefix("torch."))
    file = open_weights(found_at(folder))
    for name, tensor in weights.items():
        assert file.tensor(name).dtype == dtype
        assert torch.equal(file.tensor(name), tensor.to(dtype))


def test_int8_is_as_near_as_it_can_be(weights: Mapping[str, Tensor], tmp_path: Path) -> None:
    file = open_weights(found_at(write_ctranslate2(tmp_path / "mine", weights, DISTILLED, "int8")))
    for name, tensor in weights.items():
        found = file.tensor(name)
        if name.endswith(".weight") and tensor.ndim > 1:
            assert found.dtype == torch.float16
            step = tensor.flatten(1).abs().amax(1) / 127
            error = (found.float() - tensor).flatten(1).abs().amax(1)
            assert (error <= 0.57 * step).all(), name  # half a step, and float16's rounding
        else:
            assert torch.equal(found, tensor)


def test_float32_copies_of_float16_weights_are_known(weights: Mapping[str, Tensor], tmp_path: Path) -> None:
    """`float32` folders of OpenAI's own models hold float16 numbers."""
    halves = {name: tensor.half().float() for name, tensor in weights.items()}
    file = open_weights(found_at(write_ctranslate2(tmp_path / "mine", halves, DISTILLED, "float32")))
    assert all(torch.equal(file.tensor(name), tensor) for name, tensor in halves.items())


def own_file(path: Path, weights: Mapping[str, Tensor], dims: Dimensions = DISTILLED, **more: object) -> Path:
    torch.save({"dims": asdict(dims), "model_state_dict": dict(weights), **more}, path)
    return path


def test_openai_whispers_own_format(weights: Mapping[str, Tensor], tmp_path: Path) -> None:
    file = open_weights(found_at(own_file(tmp_path / "mine.pt", weights)))
    assert (file.dims, file.alignment_heads) == (DISTILLED, None)
    assert all(torch.equal(file.tensor(name), tensor) for name, tensor in weights.items())


def test_openai_whispers_module_is_openai_whispers(tmp_path: Path) -> None:
    expected = whisper.load_model(str(DEMO), device="cpu")
    found = load_whisper(found_at(DEMO), "cpu")
    assert {name: tensor.dtype for name, tensor in found.state_dict().items()} == {
        name: tensor.dtype for name, tensor in expected.state_dict().items()
    }
    assert all(
        torch.equal(tensor, expected.state_dict()[name]) for name, tensor in found.state_dict().items()
    )
    assert torch.equal(found.alignment_heads.indices(), expected.alignment_heads.indices())
    assert not found.training


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"decoder.ln.bias": None}, "the tensor decoder.ln.bias is missing"),
        ({"decoder.ln.bias": torch.ones(3)}, "the tensor decoder.ln.bias is 3, not 32"),
        ({"more": torch.ones(3)}, "there is no tensor 'more' in one"),
        (
            {"decoder.ln.bias": torch.ones(32, dtype=torch.int8)},
            "'decoder.ln.bias' is no tensor of floating-point",
        ),
        ({"decoder.ln.bias": torch.ones(32).to_sparse()}, "is no tensor of floating-point"),
        ({"decoder.ln.bias": "text"}, "is no Whisper checkpoint (AttributeError"),
    ],
)
def test_files_that_do_not_fit(
    weights: Mapping[str, Tensor], tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    changed = {name: tensor for name, tensor in (weights | change).items() if tensor is not None}
    path = own_file(tmp_path / "mine.pt", changed)
    with pytest.raises(CheckpointError) as caught:
        open_weights(found_at(path))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_lack_of_memory_says_nothing_about_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise RuntimeError("unable to mmap 155 bytes from file </x.pt>: Cannot allocate memory (12)")

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(RuntimeError, match="unable to mmap"):
        open_weights(found_at(DEMO_PATH))


@pytest.mark.parametrize("dims", [[80, 1500], {}, None, "tiny", torch.ones(10)], ids=str)
def test_sizes_that_are_none(weights: Mapping[str, Tensor], tmp_path: Path, dims: Any) -> None:
    torch.save({"dims": dims, "model_state_dict": dict(weights)}, tmp_path / "mine.pt")
    with pytest.raises(CheckpointError, match=r"mine\.pt is no Whisper checkpoint"):
        open_weights(found_at(tmp_path / "mine.pt"))


def test_another_vocabulary(weights: Mapping[str, Tensor], tmp_path: Path) -> None:
    path = own_file(tmp_path / "mine.pt", weights, replace(DISTILLED, n_vocab=50000))
    with pytest.raises(CheckpointError, match="a vocabulary of 50000 tokens"):
        open_weights(found_at(path))


def test_an_output_layer_of_its_own(theirs: WhisperForConditionalGeneration, tmp_path: Path) -> None:
    folder = write_hugging_face(tmp_path / "mine", theirs)
    tensors = load_file(folder / "model.safetensors")
    embedding = tensors["model.decoder.embed_tokens.weight"]
    save_file(tensors | {"proj_out.weight": embedding.clone()}, folder / "model.safetensors")
    assert open_weights(found_at(folder)).dims == DISTILLED
    save_file(tensors | {"proj_out.weight": embedding + 1e-3}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="an output layer that is not its token embedding"):
        open_weights(found_at(folder))


UPPER_HALF = ((1, 0), (1, 1))


def test_heads_of_files_come_first(theirs: WhisperForConditionalGeneration, tmp_path: Path) -> None:
    found = found_at(write_hugging_face(tmp_path / "mine", theirs, heads=[[0, 1], [7, 7]]))
    assert alignment_heads(found, open_weights(found)) == ((0, 1),)
    assert load_whisper(found, "cpu").alignment_heads.indices().T.tolist() == [[0, 1]]


@pytest.mark.parametrize("heads", [None, [[7, 0]]])
def test_without_any_all_of_the_upper_half(
    theirs: WhisperForConditionalGeneration, tmp_path: Path, heads: Any
) -> None:
    found = found_at(write_hugging_face(tmp_path / "mine", theirs, heads=heads))
    assert alignment_heads(found, open_weights(found)) == UPPER_HALF


@pytest.mark.parametrize("name", ["base", "turbo", "large-v1"])
def test_published_heads_are_openai_whispers(name: str) -> None:
    dump = gzip.decompress(base64.b85decode(whisper._ALIGNMENT_HEADS[name]))
    layers = {"base": 6, "turbo": 4, "large-v1": 32}[name]
    marks = np.frombuffer(dump, dtype=bool).reshape(layers, -1)

    class Published:
        dims = replace(DISTILLED, n_text_layer=layers, n_text_head=marks.shape[1])
        alignment_heads = None

    found = alignment_heads(Checkpoint("any", Path("any.pt"), RELEASES[name].sha256), Published())  # type: ignore[arg-type]
    assert [list(pair) for pair in found] == np.argwhere(marks).tolist()


@pytest.mark.parametrize("name", ["base.pt", "tiny.en.pt", "turbo.pt", "large-v3.pt"])
def test_a_file_called_like_a_published_one_gets_none_of_its_heads(
    weights: Mapping[str, Tensor], tmp_path: Path, name: str
) -> None:
    found = found_at(own_file(tmp_path / name, weights))
    assert alignment_heads(found, open_weights(found)) == UPPER_HALF


def test_conversion_keeps_tensors_and_heads(theirs: WhisperForConditionalGeneration, tmp_path: Path) -> None:
    found = found_at(write_hugging_face(tmp_path / "mine", theirs, torch.bfloat16, LARGE_V3_HEADS, "200KB"))
    write(found, tmp_path / "mine.pt")
    before, after = open_weights(found), open_weights(found_at(tmp_path / "mine.pt"))
    assert before.dims == after.dims
    assert before.alignment_heads == after.alignment_heads == ((1, 0), (1, 1))
    for name in DISTILLED.shapes():
        assert after.tensor(name).dtype == torch.bfloat16
        assert torch.equal(before.tensor(name), after.tensor(name))
    shutil.rmtree(tmp_path / "mine")
    model = whisper.load_model(str(tmp_path / "mine.pt"), device="cpu")
    assert torch.equal(model.decoder.ln.bias, after.tensor("decoder.ln.bias").float())


@pytest.mark.parametrize("format", ["torch", "huggingface"])
def test_what_has_been_read_of_a_file_takes_no_memory(
    theirs: WhisperForConditionalGeneration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """And what was read before is the same when it is read again."""
    path = write_hugging_face(tmp_path / "mine", theirs)
    held = path / "model.safetensors"
    if format == "torch":
        held = path = tmp_path / "mine.pt"
        write(found_at(tmp_path / "mine"), path)
    embedding = DISTILLED.n_vocab * DISTILLED.n_text_state * 4
    monkeypatch.setattr(mapped_pages, "KEPT_BYTES", embedding)
    file = open_weights(found_at(path))
    first = file.tensor("decoder.token_embedding.weight")
    before = first.clone()
    assert mapped_bytes(held) >= embedding
    file.tensor("decoder.ln.bias")  # one number too many
    assert mapped_bytes(held) == 0
    assert torch.equal(first, before)


def mapped_bytes(path: Path) -> int:
    """How much of a file this process has mapped and in memory."""
    smaps = Path("/proc/self/smaps").read_text()
    found = re.findall(rf" {re.escape(str(path))}\n(?:[A-Z].*\n)*?Rss: +(\d+) kB", smaps)
    return 1024 * sum(map(int, found))
