from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from app.formats.brief_json import render
from app.formats.render_options import RenderOptions
from app.transcript import TokenLogprob, Transcript

Read = Callable[[str, str], dict[str, Any]]


@pytest.mark.parametrize("schema", ["transcription_json", "translation_json"])
def test_has_the_text_and_the_duration(talk: Transcript, read_as: Read, schema: str) -> None:
    body = read_as(schema, render(talk, RenderOptions()))
    assert body == {"text": "Good morning, it's nine -", "usage": {"type": "duration", "seconds": 3}}


@pytest.mark.parametrize(
    ("duration", "seconds"), [(0.0, 0), (0.1, 1), (3.0, 3), (8.47, 9), (27.4, 28), (float("nan"), 0)]
)
def test_usage_is_whole_seconds_rounded_up(
    talk: Transcript, read_as: Read, duration: float, seconds: int
) -> None:
    body = read_as("transcription_json", render(replace(talk, duration_seconds=duration), RenderOptions()))
    assert body["usage"]["seconds"] == seconds
    assert type(body["usage"]["seconds"]) is int


def test_silence_is_an_answer(read_as: Read) -> None:
    silence = Transcript("transcribe", "en", 1.0, "")
    assert read_as("transcription_json", render(silence, RenderOptions()))["text"] == ""


def test_tells_what_was_asked_beside_the_text(talk: Transcript, read_as: Read) -> None:
    token = TokenLogprob("\ufffd", b"\xe4\xbc", float("-inf"))
    segments = (replace(talk.segments[0], logprobs=(token,)), replace(talk.segments[1], language="de"))
    options = RenderOptions(logprobs=True, languages=True, token_usage=True)
    body = read_as("transcription_json", render(replace(talk, segments=segments), options))
    assert list(body) == ["text", "languages", "logprobs", "usage"]
    assert body["languages"] == [{"code": "en"}, {"code": "de"}]
    assert body["logprobs"] == [{"token": "\ufffd", "logprob": -1e9, "bytes": [0xE4, 0xBC]}]
    assert body["usage"]["type"] == "tokens"


def test_silence_has_no_language(read_as: Read) -> None:
    silence = Transcript("transcribe", "en", 1.0, "")
    assert read_as("transcription_json", render(silence, RenderOptions(languages=True)))["languages"] == []
