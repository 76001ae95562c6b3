"""OpenAI's own Python client, pointed at this server."""

import asyncio
import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.audio import Transcription, TranscriptionVerbose

from tests.functional.checked_clients import async_openai_client, openai_client
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT, MODEL_NOTICE, silence

WORDS = FLAGSHIP_TEXT.removesuffix(".").split()


@pytest.fixture(scope="module")
def client(server: GunicornServer) -> Iterator[OpenAI]:
    with openai_client(server.url) as client:
        yield client


def transcribe(client: OpenAI, file: Any = FLAGSHIP, **options: Any) -> Any:
    return client.audio.transcriptions.create(**{"model": "whisper-1", "file": file, **options})


@pytest.mark.parametrize("asked", [{}, {"response_format": "json"}])
def test_json_is_a_transcription(client: OpenAI, asked: dict[str, str]) -> None:
    answer = transcribe(client, **asked)
    assert type(answer) is Transcription
    assert answer.text == FLAGSHIP_TEXT
    assert answer.usage.type == "duration"
    assert answer.usage.seconds == 3
    assert answer._request_id.startswith("req_")


def test_text_is_a_string_with_one_newline(client: OpenAI) -> None:
    assert transcribe(client, response_format="text") == f"{FLAGSHIP_TEXT}\n"


def test_srt(client: OpenAI) -> None:
    clock = r"00:00:0\d,\d{3}"
    text = transcribe(client, response_format="srt")
    assert re.fullmatch(rf"1\n{clock} --> {clock}\n{re.escape(FLAGSHIP_TEXT)}\n\n", text)


def test_vtt(client: OpenAI) -> None:
    clock = r"00:00:0\d\.\d{3}"
    text = transcribe(client, response_format="vtt")
    assert re.fullmatch(rf"WEBVTT\n\n{clock} --> {clock}\n{re.escape(FLAGSHIP_TEXT)}\n\n", text)


def test_verbose_json_is_typed_to_the_last_field(client: OpenAI) -> None:
    answer = transcribe(client, response_format="verbose_json")
    assert type(answer) is TranscriptionVerbose
    assert (answer.text, answer.language, answer.task) == (FLAGSHIP_TEXT, "english", "transcribe")
    assert answer.duration == pytest.approx(61_002 / 22_050, abs=0.01)
    assert answer.words is None
    assert (answer.usage.type, answer.usage.seconds) == ("duration", 3)
    [segment] = answer.segments
    assert (segment.id, segment.seek, segment.text) == (0, 0, f" {FLAGSHIP_TEXT}")
    assert 0 <= segment.start < segment.end <= 30
    assert all(type(token) is int for token in segment.tokens)
    numbers = (segment.temperature, segment.avg_logprob, segment.compression_ratio, segment.no_speech_prob)
    assert all(isinstance(number, int | float) for number in numbers)


@pytest.mark.parametrize("granularities", [["word"], ["word", "segment"]])
def test_words_come_when_asked_for(client: OpenAI, granularities: list[str]) -> None:
    asked = {"response_format": "verbose_json", "timestamp_granularities": granularities}
    answer = transcribe(client, **asked)
    assert [word.word for word in answer.words] == WORDS
    times = [time for word in answer.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert (answer.segments is None) == ("segment" not in granularities)


@pytest.mark.parametrize("sample", [name for name, known in EXPECTED.items() if "text" in known])
def test_every_sample_with_its_language(client: OpenAI, sample: str) -> None:
    answer = transcribe(client, DATA / sample, response_format="verbose_json")
    name = {"en": "english", "de": "german"}[EXPECTED[sample]["language"]]
    assert (answer.text, answer.language) == (EXPECTED[sample]["text"], name)


@pytest.mark.parametrize(
    "file",
    [
        FLAGSHIP.read_bytes(),
        io.BytesIO(FLAGSHIP.read_bytes()),
        ("réunion 会議.wav", FLAGSHIP.read_bytes()),
        ("speech.mp3", FLAGSHIP.read_bytes(), "video/mp4"),
        ("../../etc/passwd", FLAGSHIP.read_bytes()),
    ],
    ids=["bytes", "file object", "unicode name", "wrong type", "hostile name"],
)
def test_bytes_decide_whatever_the_file_is_called(client: OpenAI, file: Any) -> None:
    assert transcribe(client, file).text == FLAGSHIP_TEXT


@pytest.mark.parametrize(
    "model",
    [
        "whisper-1",
        "gpt-transcribe",
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe",
        "gpt-4o-mini-transcribe-2025-12-15",
        "demo",
    ],
)
def test_every_model_name_offers_verbose_json(client: OpenAI, model: str) -> None:
    answer = transcribe(client, model=model, response_format="verbose_json")
    assert (answer.text, answer.language) == (FLAGSHIP_TEXT, "english")


def test_options_of_openai_whisper_in_extra_body(client: OpenAI) -> None:
    options = {
        "beam_size": 2,
        "patience": 1.0,
        "length_penalty": 0.5,
        "condition_on_previous_text": False,
        "suppress_blank": True,
        "suppress_tokens": [-1],
        "clip_timestamps": [0.0, 3.0],
        "no_speech_threshold": 0.6,
        "logprob_threshold": -1.0,
        "compression_ratio_threshold": 2.4,
        "hallucination_silence_threshold": 2.0,
        "temperature_increment_on_fallback": 0.2,
        "seed": 7,
    }
    asked = {"language": "en", "prompt": "A proverb.", "temperature": 0, "extra_body": options}
    assert transcribe(client, **asked).text == FLAGSHIP_TEXT


def test_subtitle_limits_in_extra_body(client: OpenAI) -> None:
    text = transcribe(client, response_format="srt", extra_body={"max_words_per_line": 4})
    spoken = [block.split("\n", 2)[2] for block in text.strip().split("\n\n")]
    assert [len(line.split()) for line in spoken] == [4, 4, 3]
    assert " ".join(spoken) == FLAGSHIP_TEXT


def test_silence_is_an_answer(client: OpenAI) -> None:
    answer = transcribe(client, silence(2.0), response_format="verbose_json")
    assert (answer.text, answer.duration, answer.segments) == ("", 2.0, [])
    assert transcribe(client, silence(2.0)).text == ""
    assert transcribe(client, silence(2.0), response_format="text") == "\n"
    assert transcribe(client, silence(2.0), response_format="vtt").strip() == "WEBVTT"
    assert transcribe(client, silence(2.0), response_format="srt").strip() == ""


def test_headers_of_an_answer(client: OpenAI) -> None:
    create = client.audio.transcriptions.with_raw_response.create
    answer = create(model="whisper-1", file=FLAGSHIP, extra_headers={"X-Request-ID": "my-id.7"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-model-notice"] == MODEL_NOTICE
    assert answer.headers["openai-version"] == "2020-10-01"
    assert int(answer.headers["openai-processing-ms"]) > 0
    assert answer.parse()._request_id == "my-id.7"


NO_AUDIO = b"no audio" * 99


@pytest.mark.parametrize(
    ("wrong", "param", "code", "message"),
    [
        ({"file": NO_AUDIO}, "file", "invalid_value", "could not be decoded"),
        ({"file": b""}, "file", "audio_too_short", "too short"),
        ({"file": silence(0.05)}, "file", "audio_too_short", "0.1 seconds"),
        (
            {"response_format": "xml"},
            "response_format",
            "invalid_value",
            "'xml'. Supported values are: 'json'",
        ),
        ({"temperature": 2}, "temperature", "decimal_above_max_value", "<= 1"),
        ({"language": "klingon"}, "language", "invalid_language_format", "Invalid language 'klingon'"),
        (
            {"timestamp_granularities": ["word"]},
            "timestamp_granularities",
            "invalid_value",
            "requires 'response_format' to be 'verbose_json'",
        ),
        ({"extra_body": {"beam_size": 99}}, "beam_size", "integer_above_max_value", "<= 16"),
        ({"extra_body": {"suppress_tokens": ["x"]}}, "suppress_tokens", "invalid_type", "an integer"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_requests(client: OpenAI, wrong: dict[str, Any], param: str, code: str, message: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        transcribe(client, **wrong)
    error = caught.value
    assert (error.type, error.param, error.code) == ("invalid_request_error", param, code)
    assert message in error.message
    assert error.request_id.startswith("req_")


@pytest.mark.parametrize("name", ["gpt-4", "Systran/faster-whisper-large-v3", "distil-whisper/distil-small"])
def test_unknown_model(client: OpenAI, name: str) -> None:
    message = f"`{name}` does not exist.*WHISPER_MODEL_ALIASES"
    with pytest.raises(openai.NotFoundError, match=message) as caught:
        transcribe(client, model=name)
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")


@pytest.mark.parametrize("name", ["Systran/faster-whisper-demo", "openai/whisper-demo", "whisper-demo"])
def test_names_of_other_servers_for_the_model_that_is_here(client: OpenAI, name: str) -> None:
    assert transcribe(client, model=name).text == FLAGSHIP_TEXT


def test_async_client(server: GunicornServer) -> None:
    async def text() -> str:
        async with async_openai_client(server.url) as client:
            answer = await client.audio.transcriptions.create(model="whisper-1", file=FLAGSHIP)
            return answer.text

    assert asyncio.run(text()) == FLAGSHIP_TEXT


def test_side_by_side_requests_keep_apart(client: OpenAI) -> None:
    samples = ["flagship.wav", "numbers.wav", "german.wav", "flite.wav"] * 2
    with ThreadPoolExecutor(len(samples)) as pool:
        texts = list(pool.map(lambda sample: transcribe(client, DATA / sample).text, samples))
    assert texts == [EXPECTED[sample]["text"] for sample in samples]
