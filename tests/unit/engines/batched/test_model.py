"""How a checkpoint's weights are packed, and that nothing of its file is kept."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from app.checkpoints import found_at
from app.engines.batched import packed_linear
from app.engines.batched.backend import backend_of
from app.engines.batched.model import Model, _packing, load
from app.engines.weights_files import open_weights
from tests.foreign_weights import DISTILLED, random_model, write_ctranslate2, write_hugging_face

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> WhisperForConditionalGeneration:
    return random_model()


def rounded(model: WhisperForConditionalGeneration) -> WhisperForConditionalGeneration:
    """The same, its float32 weights rounded to float16, as those of OpenAI's models are."""
    copy = random_model()
    copy.load_state_dict({name: tensor.half().float() for name, tensor in model.state_dict().items()})
    return copy


@pytest.mark.parametrize(
    ("dtype", "prepare", "packed"),
    [
        (torch.float16, lambda model: model, packed_linear.half_weights),
        (torch.float32, rounded, packed_linear.half_weights),
        (torch.float32, lambda model: model, packed_linear.plain),
        (torch.bfloat16, lambda model: model, packed_linear.plain),
    ],
    ids=["float16", "float16 in float32", "float32", "bfloat16"],
)
def test_only_float16_numbers_are_packed_as_such(
    model: WhisperForConditionalGeneration,
    tmp_path: Path,
    dtype: torch.dtype,
    prepare: Callable[[WhisperForConditionalGeneration], WhisperForConditionalGeneration],
    packed: packed_linear.Pack,
) -> None:
    file = open_weights(found_at(write_hugging_face(tmp_path / "mine", prepare(model), dtype)))
    assert _packing(file, backend_of(CPU, "exact"), "exact") is packed
    assert _packing(file, backend_of(CPU, "exact"), "int8") is packed_linear.int8_weights


def test_bfloat16_numbers_that_float16_has_are_packed_so(tmp_path: Path) -> None:
    whole = {name: torch.ones(shape) for name, shape in DISTILLED.shapes().items()}
    file = open_weights(found_at(write_ctranslate2(tmp_path / "mine", whole, DISTILLED, "bfloat16")))
    assert file.tensor("decoder.ln.bias").dtype == torch.bfloat16
    assert _packing(file, backend_of(CPU, "exact"), "exact") is packed_linear.half_weights


def tensors(part: object) -> Iterator[Tensor]:
    """All that a model's weights refer to but what is packed, which nothing can look into."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, partial):
        yield from tensors([*part.args, *part.keywords.values()])
    elif isinstance(part, list | tuple):
        for each in part:
            yield from tensors(each)


def held_bytes(loaded: Model) -> int:
    storages = (tensor.untyped_storage() for tensor in tensors([loaded.encoder, loaded.decoder]))
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


@pytest.mark.parametrize("precision", ["exact", "int8"])
def test_of_a_packed_weight_no_other_copy_is_held(
    model: WhisperForConditionalGeneration, tmp_path: Path, precision: str
) -> None:
    """But for the rows of the token embedding, which are no more precise than the packed ones."""
    found = found_at(write_hugging_face(tmp_path / "mine", model, torch.float16))
    loaded = load(found, CPU, precision)
    decoder = loaded.decoder
    matrices = [each for each in tensors([loaded.encoder, decoder]) if each.ndim == 2]
    assert [id(each) for each in matrices] == [
        id(each) for each in (loaded.encoder.positions, decoder.embedding, decoder.positions)
    ]
    assert decoder.embedding.dtype == torch.float16
    assert torch.equal(decoder.embedding, open_weights(found).tensor("decoder.token_embedding.weight"))
    plain = [shape for name, shape in DISTILLED.shapes().items() if len(shape) != 2 or "positional" in name]
    of_linears = 2 * DISTILLED.n_vocab * DISTILLED.n_text_state
    assert held_bytes(loaded) <= of_linears + 4 * sum(torch.Size(shape).numel() for shape in plain)


def test_a_weight_that_cant_be_packed_is_held_once(
    model: WhisperForConditionalGeneration, tmp_path: Path
) -> None:
    loaded = load(found_at(write_hugging_face(tmp_path / "mine", model)), CPU, "exact")
    keys_without_bias = 3 + 2 * 2
    weights = sum(torch.Size(shape).numel() for shape in DISTILLED.shapes().values())
    assert held_bytes(loaded) == 4 * (weights + keys_without_bias * DISTILLED.n_text_state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_the_file_may_change_under_a_loaded_model(
    model: WhisperForConditionalGeneration, tmp_path: Path, dtype: torch.dtype
) -> None:
    folder = write_hugging_face(tmp_path / "mine", model, dtype)
    loaded = load(found_at(folder), CPU, "exact")
    mel = torch.randn(128, 3000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = loaded.encode(mel)
        keys = loaded.project(before).scores(0, 0, torch.ones(1, 16), 10)
    weights = folder / "model.safetensors"
    with weights.open("r+b") as file:
        file.write(bytes(weights.stat().st_size))
    with torch.inference_mode():
        assert torch.equal(loaded.encode(mel), before)
        assert torch.equal(loaded.project(before).scores(0, 0, torch.ones(1, 16), 10), keys)
    assert loaded.decoder.embedding.abs().sum() > 0
    assert loaded.decoder.positions.abs().sum() > 0


def test_tensors_are_asked_for_one_at_a_time(
    model: WhisperForConditionalGeneration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once for its layer, and matrices once more to see what they are: nothing reads a whole model.

    The token embedding is read once more for its rows.
    """
    found = found_at(write_hugging_face(tmp_path / "mine", model, torch.float16))
    asked: list[str] = []
    opened = open_weights(found)
    read = type(opened).tensor

    def tensor(self: object, name: str) -> Tensor:
        asked.append(name)
        return read(self, name)  # type: ignore[arg-type]

    monkeypatch.setattr(type(opened), "tensor", tensor)
    load(found, CPU, "exact")
    matrices = [name for name, shape in DISTILLED.shapes().items() if len(shape) == 2]
    assert set(asked) == DISTILLED.shapes().keys()
    assert {name for name in asked if asked.count(name) == 3} == {"decoder.token_embedding.weight"}
    assert {name for name in asked if asked.count(name) == 2} <= set(matrices)
    assert max(asked.count(name) for name in asked) == 3
