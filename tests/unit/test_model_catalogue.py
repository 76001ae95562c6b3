"""Which names requests may use for which model."""

import pytest

from app.errors import ModelNotFound
from app.model_catalogue import CHAT_MODELS, SPEECH_MODELS, TRANSCRIPTION_MODELS, ModelCatalogue


def catalogue_of(
    *aliases: str, own: tuple[str, ...] = ("scripted",), synthesizer: str = ""
) -> ModelCatalogue:
    return ModelCatalogue(aliases, lambda: own, lambda: synthesizer)


@pytest.fixture
def catalogue() -> ModelCatalogue:
    return catalogue_of()


@pytest.mark.parametrize(
    "name",
    [
        *TRANSCRIPTION_MODELS,
        "gpt-4o-mini-transcribe-2030-01-01",
        "gpt-4o-audio-preview",
        "gpt-4o-audio-preview-2025-06-03",
        "gpt-4o-mini-audio-preview-2024-12-17",
        "gpt-audio",
        "gpt-audio-mini",
        "scripted",
    ],
)
def test_accepted_models(catalogue: ModelCatalogue, name: str) -> None:
    assert catalogue.accepts(name)
    catalogue.require(name)


@pytest.mark.parametrize(
    "name", ["", "gpt-4o", "whisper-2", "Whisper-1", "turbo", "demo", "*", "gpt-4o-transcribe-x"]
)
def test_other_models_are_not_found(catalogue: ModelCatalogue, name: str) -> None:
    assert not catalogue.accepts(name)
    with pytest.raises(ModelNotFound) as caught:
        catalogue.require(name)
    assert caught.value.message == (
        f"The model `{name}` does not exist or you do not have access to it. GET /v1/models lists the "
        "names that this server knows; WHISPER_MODEL_ALIASES adds more."
    )
    assert caught.value.param == "model"


TURBO = ("large-v3-turbo", "turbo")
LARGE = ("large-v3", "large")


@pytest.mark.parametrize(
    ("own", "name"),
    [
        (TURBO, "whisper-large-v3-turbo"),
        (TURBO, "whisper-turbo"),
        (TURBO, "openai/whisper-large-v3-turbo"),
        (TURBO, "faster-whisper-large-v3-turbo"),
        (TURBO, "Systran/faster-whisper-large-v3-turbo"),
        (TURBO, "deepdml/faster-whisper-large-v3-turbo-ct2"),
        (LARGE, "whisper-large-v3"),
        (LARGE, "openai/whisper-large-v3"),
        (LARGE, "Systran/faster-whisper-large-v3"),
        (("large-v1",), "openai/whisper-large"),
        (("tiny.en",), "Systran/faster-whisper-tiny.en"),
        (("distil-large-v3",), "distil-whisper/distil-large-v3"),
        (("distil-large-v3",), "Systran/faster-distil-whisper-large-v3"),
        (("distil-large-v3-en",), "distil-whisper-large-v3-en"),
        (TURBO, "openai/whisper-1"),
    ],
)
def test_names_in_the_style_of_other_servers(own: tuple[str, ...], name: str) -> None:
    catalogue = catalogue_of(own=own)
    assert catalogue.accepts(name)
    assert catalogue.require(name) == name
    assert name not in catalogue.names()


@pytest.mark.parametrize(
    ("own", "name"),
    [
        (TURBO, "whisper-large-v3"),
        (TURBO, "openai/whisper-large-v3"),
        (TURBO, "Systran/faster-whisper-large-v3"),
        (TURBO, "distil-whisper/distil-large-v3"),
        (TURBO, "openai/turbo"),
        (TURBO, "somebody/whisper-turbo"),
        (TURBO, "Systran/faster-turbo"),
        (LARGE, "openai/whisper-large"),
        (LARGE, "whisper-large-v3-turbo"),
        (LARGE, "distil-whisper/distil-large-v3"),
        (LARGE, "Systran/faster-distil-whisper-large-v3"),
        (LARGE, "openai/openai/whisper-large-v3"),
        (LARGE, "openai/gpt-4"),
        (LARGE, "whisper-"),
        ((), "whisper-large-v3"),
    ],
)
def test_they_must_name_the_checkpoint_that_is_here(own: tuple[str, ...], name: str) -> None:
    assert not catalogue_of(own=own).accepts(name)


def test_aliases() -> None:
    catalogue = catalogue_of("our-whisper", "dept-*")
    assert catalogue.accepts("our-whisper")
    assert catalogue.accepts("dept-7")
    assert not catalogue.accepts("your-whisper")
    assert "our-whisper" in catalogue.names()
    assert "dept-*" not in catalogue.names()


def test_a_star_accepts_any_name() -> None:
    assert catalogue_of("*").accepts("anything/at:all")


def test_listed_models_are_accepted_and_start_with_the_own(catalogue: ModelCatalogue) -> None:
    names = catalogue.names()
    assert names[0] == "scripted"
    assert len(set(names)) == len(names)
    assert all(catalogue.accepts(name) for name in names)


def test_before_a_checkpoint_is_loaded_there_are_names_already() -> None:
    catalogue = catalogue_of(own=())
    assert catalogue.accepts("whisper-1")
    assert not catalogue.accepts("scripted")
    assert {*TRANSCRIPTION_MODELS, *CHAT_MODELS} == set(catalogue.names())


def test_speech_has_names_of_its_own_where_something_speaks() -> None:
    silent, speaking = catalogue_of(), catalogue_of(synthesizer="espeak-ng")
    assert silent.speech_names() == ()
    assert speaking.speech_names() == (*SPEECH_MODELS, "espeak-ng")
    assert {*speaking.names()} - {*silent.names()} == {*speaking.speech_names()}
    assert not any(speaking.accepts(name) for name in speaking.speech_names())


@pytest.mark.parametrize("name", [*SPEECH_MODELS, "gpt-4o-mini-tts-2030-01-01", "espeak-ng"])
def test_models_that_speak(name: str) -> None:
    catalogue_of(synthesizer="espeak-ng").require_speech(name)


@pytest.mark.parametrize("name", ["whisper-1", "scripted", "piper", "tts-2"])
def test_others_do_not(name: str) -> None:
    with pytest.raises(ModelNotFound):
        catalogue_of(synthesizer="espeak-ng").require_speech(name)


@pytest.mark.parametrize(
    ("name", "deployment", "model"),
    [
        ("whisper-1", "ours", "whisper-1"),
        ("ours", "ours", "scripted"),
        ("gpt-4o", "gpt-4o-transcribe", "gpt-4o-transcribe"),
        ("", "ours", "scripted"),
    ],
)
def test_a_deployment_is_never_unknown(
    catalogue: ModelCatalogue, name: str, deployment: str, model: str
) -> None:
    assert catalogue.require(name, deployment) == model


def test_a_deployment_before_a_checkpoint_is_loaded() -> None:
    assert catalogue_of(own=()).require("ours", "ours") == "whisper-1"


def test_a_deployment_that_speaks(catalogue: ModelCatalogue) -> None:
    assert catalogue.require_speech("ours", "ours") == "tts-1"
    assert catalogue.require_speech("ours", "tts-1-hd") == "tts-1-hd"
