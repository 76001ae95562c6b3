"""One speaker on each channel: diarized_json, and the model that is named for it."""

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests

from tests.functional.checked_clients import requests_session
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP_TEXT, convert, convert_to_pipe

NUMBERS_TEXT = EXPECTED["numbers.wav"]["text"]
FLITE_TEXT = EXPECTED["flite.wav"]["text"]
RATE = 16_000
DIARIZE = "gpt-4o-transcribe-diarize"


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


def channels(target: Path, *samples: str) -> Path:
    """Recordings on channels of their own at 16 kHz, each 3 s after the one before."""
    seconds = 3 * len(samples)
    mixed = np.zeros((RATE * seconds, len(samples)), "<i2")
    for number, sample in enumerate(samples):
        raw = convert_to_pipe(DATA / sample, "-ac", "1", "-ar", str(RATE), "-f", "s16le")
        said = np.frombuffer(raw, "<i2")
        mixed[3 * RATE * number :, number][: len(said)] = said
    with wave.open(str(target), "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(mixed.tobytes())
    return target


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second speaker answers after the first has ended."""
    return channels(tmp_path_factory.mktemp("call") / "call.wav", "flagship.wav", "numbers.wav")


def transcribe(
    session: requests.Session, server: GunicornServer, recording: Path, *more: tuple[str, str]
) -> requests.Response:
    with recording.open("rb") as file:
        return session.post(
            f"{server.url}/v1/audio/transcriptions",
            data=list(more),
            files={"file": file},
            timeout=PATIENCE_SECONDS,
        )


@pytest.mark.parametrize(
    ("model", "usage"), [(DIARIZE, "tokens"), ("gpt-4o-transcribe", "tokens"), ("whisper-1", "duration")]
)
def test_any_model_name_tells_who_spoke(
    session: requests.Session, server: GunicornServer, call: Path, model: str, usage: str
) -> None:
    answer = transcribe(session, server, call, ("model", model), ("response_format", "diarized_json")).json()
    assert answer["text"] == f"A: {FLAGSHIP_TEXT}\nB: {NUMBERS_TEXT}"
    first, second = answer["segments"]
    assert (first["id"], first["speaker"], first["text"]) == ("seg_001", "A", FLAGSHIP_TEXT)
    assert (second["id"], second["speaker"], second["text"]) == ("seg_002", "B", NUMBERS_TEXT)
    assert first["end"] <= second["start"] < second["end"] <= answer["duration"]
    assert answer["usage"]["type"] == usage


def test_names_in_the_order_of_the_channels(
    session: requests.Session, server: GunicornServer, call: Path
) -> None:
    answer = transcribe(
        session,
        server,
        call,
        ("model", DIARIZE),
        ("response_format", "diarized_json"),
        ("chunking_strategy", "auto"),
        ("known_speaker_names[]", "Doe, Jane"),
        ("known_speaker_names[]", "会議"),
        ("known_speaker_references[]", "data:audio/wav;base64,UklGRg=="),
    ).json()
    assert answer["text"] == f"Doe, Jane: {FLAGSHIP_TEXT}\n会議: {NUMBERS_TEXT}"


@pytest.mark.parametrize(("form", "key"), [("json", "text"), ("text", None)])
def test_text_alone(
    session: requests.Session, server: GunicornServer, call: Path, form: str, key: str | None
) -> None:
    answer = transcribe(session, server, call, ("model", DIARIZE), ("response_format", form))
    text = answer.json()[key] if key else answer.text.removesuffix("\n")
    assert text == f"{FLAGSHIP_TEXT} {NUMBERS_TEXT}"


def test_three_channels(session: requests.Session, server: GunicornServer, tmp_path: Path) -> None:
    three = channels(tmp_path / "three.wav", "flagship.wav", "numbers.wav", "flite.wav")
    fields = ("model", DIARIZE), ("response_format", "diarized_json"), ("known_speaker_names[]", "Ann")
    answer = transcribe(session, server, three, *fields).json()
    assert answer["text"] == f"Ann: {FLAGSHIP_TEXT}\nA: {NUMBERS_TEXT}\nB: {FLITE_TEXT}"


def test_a_name_is_not_given_again(session: requests.Session, server: GunicornServer, tmp_path: Path) -> None:
    three = channels(tmp_path / "three.wav", "flagship.wav", "numbers.wav", "flite.wav")
    fields = ("model", DIARIZE), ("response_format", "diarized_json"), ("known_speaker_names[]", "B")
    answer = transcribe(session, server, three, *fields).json()
    assert [segment["speaker"] for segment in answer["segments"]] == ["B", "A", "C"]


def test_a_name_for_two_is_refused(session: requests.Session, server: GunicornServer, call: Path) -> None:
    names = ("known_speaker_names[]", "Ann"), ("known_speaker_names[]", "Ann")
    answer = transcribe(session, server, call, ("model", DIARIZE), *names)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("known_speaker_names", "invalid_value")
    assert "'Ann' twice" in error["message"]


@pytest.fixture(params=["1", "2"], ids=["mono", "the same twice"])
def mono(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return convert(DATA / "three_utterances.wav", tmp_path / "mono.wav", "-ac", request.param)


@pytest.mark.parametrize(
    "fields",
    [
        (("response_format", "json"),),
        (("response_format", "text"),),
        (("stream", "true"),),
        (("chunking_strategy", "auto"),),
    ],
    ids=["json", "text", "stream", "in pieces"],
)
def test_text_of_mono_is_that_of_any_other_model(
    session: requests.Session, server: GunicornServer, mono: Path, fields: tuple[tuple[str, str], ...]
) -> None:
    diarize, plain = (
        transcribe(session, server, mono, ("model", model), *fields)
        for model in (DIARIZE, "gpt-4o-transcribe")
    )
    assert diarize.status_code == 200
    assert diarize.text == plain.text
    assert "Good morning. The server is ready." in diarize.text


@pytest.mark.parametrize("model", [DIARIZE, "whisper-1"])
def test_speakers_of_mono_are_refused_and_told_why(
    session: requests.Session, server: GunicornServer, mono: Path, model: str
) -> None:
    fields = ("model", model), ("response_format", "diarized_json")
    answer = transcribe(session, server, mono, *fields)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == "file"
    assert "a channel for each speaker" in error["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("response_format", "srt"),
        ("response_format", "vtt"),
        ("response_format", "verbose_json"),
        ("prompt", "Names: Ada."),
        ("include[]", "logprobs"),
        ("timestamp_granularities[]", "word"),
    ],
)
def test_what_the_model_does_not_offer(
    session: requests.Session, server: GunicornServer, call: Path, field: str, value: str
) -> None:
    answer = transcribe(session, server, call, ("model", DIARIZE), (field, value))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == (field.removesuffix("[]"), "unsupported_value")
