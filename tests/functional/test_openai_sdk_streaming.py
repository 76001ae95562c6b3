"""`stream=True` and `with_streaming_response` of OpenAI's Python client."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.audio import TranscriptionTextDeltaEvent, TranscriptionTextDoneEvent

from tests.functional.checked_clients import async_openai_client, openai_client
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT, silence
from tests.openai_spec import conforming

THREE = DATA / "three_utterances.wav"
THREE_TEXT = EXPECTED["three_utterances.wav"]["text"]


@pytest.fixture(scope="module")
def client(server: GunicornServer) -> Iterator[OpenAI]:
    with openai_client(server.url) as client:
        yield client


def streamed(client: OpenAI, file: Any = THREE, **options: Any) -> list[Any]:
    asked = {"model": "gpt-4o-transcribe", "file": file, "stream": True, **options}
    with client.audio.transcriptions.create(**asked) as stream:
        return checked(list(stream))


def checked(events: list[Any]) -> list[Any]:
    for event in events:
        conforming("transcription_stream_event", event.to_dict())
    return events


def assert_tells_three_segments(events: list[Any]) -> None:
    *deltas, done = events
    assert all(type(event) is TranscriptionTextDeltaEvent for event in deltas)
    assert type(done) is TranscriptionTextDoneEvent
    assert len(deltas) >= 3
    assert "".join(event.delta for event in deltas) == done.text == THREE_TEXT


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
def test_every_model_name_streams(client: OpenAI, model: str) -> None:
    events = streamed(client, model=model)
    assert_tells_three_segments(events)
    usage = events[-1].usage
    assert (usage.type, usage.input_token_details.audio_tokens) == ("tokens", 53)
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


def test_async_client(server: GunicornServer) -> None:
    async def events() -> list[Any]:
        async with async_openai_client(server.url) as client:
            stream = await client.audio.transcriptions.create(model="whisper-1", file=THREE, stream=True)
            return [event async for event in stream]

    assert_tells_three_segments(checked(asyncio.run(events())))


def test_streams_side_by_side_keep_apart(server: GunicornServer) -> None:
    samples = ["flagship.wav", "numbers.wav", "german.wav", "flite.wav"]

    async def text(client: openai.AsyncOpenAI, sample: str) -> str:
        asked = {"model": "whisper-1", "file": DATA / sample}
        stream = await client.audio.transcriptions.create(**asked, stream=True)
        return "".join([event.delta async for event in stream if event.type == "transcript.text.delta"])

    async def texts() -> list[str]:
        async with async_openai_client(server.url) as client:
            return await asyncio.gather(*(text(client, sample) for sample in samples))

    assert asyncio.run(texts()) == [EXPECTED[sample]["text"] for sample in samples]


def test_logprobs_of_every_token(client: OpenAI) -> None:
    *deltas, done = streamed(client, FLAGSHIP, include=["logprobs"])
    tokens = [token for event in deltas for token in event.logprobs]
    assert bytes(byte for token in tokens for byte in token.bytes).decode().strip() == FLAGSHIP_TEXT
    assert all(token.logprob <= 0 for token in tokens)
    assert [token.token for token in done.logprobs] == [token.token for token in tokens]


def test_silence_streams_no_words(client: OpenAI) -> None:
    *deltas, done = streamed(client, silence(2.0))
    assert "".join(event.delta for event in deltas) == done.text == ""


def test_leaving_early_harms_nobody(client: OpenAI, server: GunicornServer) -> None:
    asked = {"model": "whisper-1", "file": DATA / "minute.flac", "stream": True}
    with client.audio.transcriptions.create(**asked) as stream:
        assert next(iter(stream)).type == "transcript.text.delta"
    assert client.audio.transcriptions.create(model="whisper-1", file=FLAGSHIP).text == FLAGSHIP_TEXT
    assert "Traceback" not in server.log


@pytest.mark.parametrize("response_format", ["srt", "vtt"])
def test_formats_that_cannot_stream(client: OpenAI, response_format: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        streamed(client, response_format=response_format)
    assert (caught.value.param, caught.value.code) == ("response_format", "unsupported_value")


def test_refusal_before_the_first_event_has_its_class(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        streamed(client, b"no audio" * 99)
    assert (caught.value.param, caught.value.code) == ("file", "invalid_value")


def test_streaming_response_of_a_whole_answer(client: OpenAI) -> None:
    create = client.audio.transcriptions.with_streaming_response.create
    with create(model="whisper-1", file=FLAGSHIP) as response:
        assert response.headers["content-type"] == "application/json"
        assert response.parse().text == FLAGSHIP_TEXT


def test_streaming_response_of_text(client: OpenAI) -> None:
    create = client.audio.transcriptions.with_streaming_response.create
    with create(model="whisper-1", file=FLAGSHIP, response_format="text") as response:
        assert list(response.iter_lines()) == [FLAGSHIP_TEXT]


def test_frames_as_they_are_sent(client: OpenAI) -> None:
    create = client.audio.transcriptions.with_streaming_response.create
    with create(model="whisper-1", file=THREE, stream=True) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["x-accel-buffering"] == "no"
        body = b"".join(response.iter_bytes())
    assert b"\r" not in body
    *frames, rest = body.split(b"\n\n")
    assert rest == b""
    assert all(frame.startswith((b"data: {", b": ")) for frame in frames)
