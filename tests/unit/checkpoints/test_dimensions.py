"""Sizes of models: what is made of them, and which can't be served."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from whisper.model import ModelDimensions, Whisper

from app.checkpoints.dimensions import Dimensions
from app.errors import CheckpointError

PATH = Path("/models/mine")
TINY = Dimensions(80, 1500, 384, 6, 4, 51865, 448, 384, 6, 4)
SMALL = Dimensions(128, 1500, 16, 2, 2, 51866, 448, 16, 2, 1)


def test_fields_are_openai_whispers() -> None:
    assert ModelDimensions(**asdict(SMALL)).n_text_layer == 1
    assert list(asdict(SMALL)) == list(ModelDimensions.__dataclass_fields__)


def test_tensors_are_those_of_openai_whispers_module() -> None:
    model = Whisper(ModelDimensions(**asdict(SMALL)))
    assert SMALL.shapes() == {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    SMALL.require(PATH, SMALL.shapes())


@pytest.mark.parametrize(
    ("vocabulary", "multilingual", "languages"), [(51864, 0, 99), (51865, 1, 99), (51866, 1, 100)]
)
def test_languages_are_counted_as_openai_whisper_does(
    vocabulary: int, multilingual: int, languages: int
) -> None:
    dims = replace(SMALL, n_vocab=vocabulary)
    model = Whisper(ModelDimensions(**asdict(dims)))
    assert (dims.is_multilingual, dims.num_languages) == (model.is_multilingual, model.num_languages)
    assert (dims.is_multilingual, dims.num_languages) == (bool(multilingual), languages)


@pytest.mark.parametrize("value", [None, "512", 512.0, True, 0, -1, 10**9, [512]])
def test_sizes_are_whole_numbers(value: object) -> None:
    with pytest.raises(CheckpointError) as caught:
        Dimensions.of(asdict(TINY) | {"n_audio_state": value}, PATH)
    assert str(caught.value).startswith(
        f"{PATH} is no Whisper checkpoint: its n_audio_state is {value!r}, not a"
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"n_vocab": 51867},
            "has a vocabulary of 51867 tokens, but OpenAI's have 51864 (English only), 51865",
        ),
        ({"n_mels": 100}, "it has 100 mel bands, not 80 or 128"),
        ({"n_audio_ctx": 750}, "its encoder has 750 positions, not 1500"),
        ({"n_text_state": 512}, "encoder and decoder are 384 and 512 wide"),
        ({"n_audio_head": 7}, "a width of 384 can't be shared out to its attention heads"),
        ({"n_text_head": 7}, "a width of 384 can't be shared out to its attention heads"),
        ({"n_text_layer": 257}, "it has more than 256 layers"),
    ],
)
def test_other_architectures_are_refused(changes: dict[str, int], problem: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        Dimensions.of(asdict(TINY) | changes, PATH)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(str(PATH))


def test_what_else_a_file_states_is_passed_over() -> None:
    assert Dimensions.of(asdict(TINY) | {"dropout": 0.1}, PATH) == TINY


@pytest.mark.parametrize(
    ("name", "shape", "problem"),
    [
        ("decoder.ln.bias", None, "the tensor decoder.ln.bias is missing"),
        (
            "encoder.conv1.weight",
            (16, 80, 3),
            "the tensor encoder.conv1.weight is 16 x 80 x 3, not 16 x 128 x 3",
        ),
        ("decoder.ln.bias", (), "the tensor decoder.ln.bias is a single number, not 16"),
        ("decoder.blocks.1.mlp_ln.bias", (16,), "there is no tensor 'decoder.blocks.1.mlp_ln.bias' in one"),
    ],
)
def test_tensors_that_do_not_fit(name: str, shape: tuple[int, ...] | None, problem: str) -> None:
    shapes = SMALL.shapes()
    if shape is None:
        del shapes[name]
    else:
        shapes[name] = shape
    with pytest.raises(CheckpointError) as caught:
        SMALL.require(PATH, shapes)
    assert f"{PATH} is not the whole of a Whisper model: {problem}" in str(caught.value)
