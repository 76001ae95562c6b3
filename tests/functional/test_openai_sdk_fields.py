"""The fields of 2026 and `extra_body`'s lists, as OpenAI's Python client spells them in a form."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.audio import TranscriptionDiarized, TranslationVerbose

from tests.functional.checked_clients import openai_client
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT, convert
from tests.openai_spec import conforming

NUMBERS_TEXT = EXPECTED["numbers.wav"]["text"]
SIDE_BY_SIDE = "[0:a][1:a]amerge=inputs=2"


@pytest.fixture(scope="module")
def client(server: GunicornServer) -> Iterator[OpenAI]:
    with openai_client(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def two_speakers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sample on the left channel, another on the right."""
    target = tmp_path_factory.mktemp("stereo") / "call.wav"
    return convert(FLAGSHIP, target, "-i", str(DATA / "numbers.wav"), "-filter_complex", SIDE_BY_SIDE)


def transcribe(client: OpenAI, file: Any = FLAGSHIP, **options: Any) -> Any:
    return client.audio.transcriptions.create(**{"model": "gpt-4o-transcribe", "file": file, **options})


@pytest.mark.parametrize("model", ["gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-transcribe"])
def test_token_usage_of_the_models_that_bill_by_token(client: OpenAI, model: str) -> None:
    usage = transcribe(client, model=model).usage
    assert (usage.type, usage.input_token_details.audio_tokens) == ("tokens", 28)
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


def test_logprobs(client: OpenAI) -> None:
    tokens = transcribe(client, include=["logprobs"]).logprobs
    spelled = bytes(int(byte) for token in tokens for byte in token.bytes)  # the SDK reads them as floats
    assert spelled.decode().strip() == FLAGSHIP_TEXT


@pytest.mark.parametrize("asked", [["en", "de"], ["de"]])
def test_languages_to_choose_from(client: OpenAI, asked: list[str]) -> None:
    answer = transcribe(
        client, DATA / "german.wav", model="gpt-transcribe", languages=asked, keywords=["Sonne"]
    )
    assert answer.text == EXPECTED["german.wav"]["text"]
    assert [language.code for language in answer.languages] == ["de"]


@pytest.mark.parametrize(
    "strategy",
    ["auto", {"type": "server_vad"}, {"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 150}],
    ids=["auto", "server_vad", "options"],
)
def test_chunking_strategy(client: OpenAI, strategy: Any) -> None:
    answer = transcribe(client, DATA / "three_utterances.wav", chunking_strategy=strategy)
    assert answer.text == EXPECTED["three_utterances.wav"]["text"]


@pytest.fixture(scope="module")
def two_languages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The English sample, half a minute of silence, and the German one twice."""
    target = tmp_path_factory.mktemp("languages") / "both.wav"
    german = ("-i", str(DATA / "german.wav"))
    joined = "[0:a]apad=pad_dur=30[english];[english][1:a][2:a]concat=n=3:v=0:a=1"
    return convert(FLAGSHIP, target, *german, *german, "-filter_complex", joined)


def test_each_piece_has_its_own_language(client: OpenAI, two_languages: Path) -> None:
    answer = transcribe(client, two_languages, model="gpt-transcribe", chunking_strategy="auto")
    assert [language.code for language in answer.languages] == ["en", "de"]
    german = EXPECTED["german.wav"]["text"]
    assert answer.text == f"{FLAGSHIP_TEXT} {german} {german}"


def test_in_order_the_first_window_tells_the_language_of_all(client: OpenAI, two_languages: Path) -> None:
    answer = transcribe(client, two_languages, model="gpt-transcribe")
    assert [language.code for language in answer.languages] == ["en"]


def test_lists_and_dicts_in_extra_body(client: OpenAI) -> None:
    fields = {
        "languages": ["en", "de"],
        "keywords": ["sun", "east"],
        "timestamp_granularities": ["word"],
        "response_format": "verbose_json",
        "chunking_strategy": {"type": "server_vad", "prefix_padding_ms": 200},
        "suppress_blank": True,
        "an_unknown_list": [1, 2],
        "an_unknown_dict": {"a": {"b": 1}},
    }
    answer = transcribe(client, model="whisper-1", extra_body=fields)
    assert [word["word"] for word in answer.to_dict()["words"]] == FLAGSHIP_TEXT.removesuffix(".").split()


def test_one_speaker_on_each_channel(client: OpenAI, two_speakers: Path) -> None:
    answer = diarized(client, two_speakers)
    assert type(answer) is TranscriptionDiarized
    assert said_by(answer.segments) == {"A": FLAGSHIP_TEXT, "B": NUMBERS_TEXT}
    assert [segment.start for segment in answer.segments] == sorted(s.start for s in answer.segments)


def test_speakers_with_names(client: OpenAI, two_speakers: Path) -> None:
    answer = diarized(client, two_speakers, known_speaker_names=["agent", "caller"])
    assert said_by(answer.segments) == {"agent": FLAGSHIP_TEXT, "caller": NUMBERS_TEXT}


def test_streamed_speakers(client: OpenAI, two_speakers: Path) -> None:
    with diarized(client, two_speakers, stream=True) as stream:
        events = list(stream)
    for event in events:
        conforming("transcription_stream_event", event.to_dict())
    segments = [event for event in events if event.type == "transcript.text.segment"]
    assert said_by(segments) == {"A": FLAGSHIP_TEXT, "B": NUMBERS_TEXT}
    assert events[-1].type == "transcript.text.done"


def test_mono_has_no_speakers_to_tell_apart(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="channel") as caught:
        diarized(client, FLAGSHIP)
    assert caught.value.type == "invalid_request_error"


def diarized(client: OpenAI, file: Path, **options: Any) -> Any:
    model = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json"}
    return transcribe(client, file, **model, chunking_strategy="auto", **options)


def said_by(segments: list[Any]) -> dict[str, str]:
    speakers = {segment.speaker for segment in segments}
    return {
        speaker: " ".join(segment.text.strip() for segment in segments if segment.speaker == speaker)
        for speaker in speakers
    }


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_translation(client: OpenAI) -> None:
    create = client.audio.translations.create
    answer = create(model="whisper-1", file=DATA / "german.wav", response_format="verbose_json")
    assert type(answer) is TranslationVerbose
    assert (answer.text, answer.language) == (EXPECTED["german.wav"]["translation"], "english")


def test_model_with_a_slash(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("Systran/faster-whisper-tiny")
    assert caught.value.code == "model_not_found"
    assert "Systran/faster-whisper-tiny" in caught.value.message


def test_every_listed_model_can_be_retrieved(client: OpenAI) -> None:
    models = list(client.models.list())
    assert {"demo", "whisper-1", "gpt-4o-audio-preview"} <= {model.id for model in models}
    assert [client.models.retrieve(model.id) for model in models] == models
