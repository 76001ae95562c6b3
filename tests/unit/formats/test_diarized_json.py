from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from app.formats.diarized_json import render
from app.formats.render_options import RenderOptions
from app.transcript import Segment, Transcript

Read = Callable[[str, str], dict[str, Any]]
SCHEMA = "transcription_diarized_json"


def spoken(talk: Transcript, *turns: tuple[str, str]) -> Transcript:
    segments = tuple(
        replace(talk.segments[0], id=number, speaker=speaker, text=text)
        for number, (speaker, text) in enumerate(turns)
    )
    return replace(talk, segments=segments)


def test_who_said_what(talk: Transcript, read_as: Read) -> None:
    talk = spoken(talk, ("Ann", " Hello."), ("B", " Hi!"))
    body = read_as(SCHEMA, render(talk, RenderOptions()))
    assert (body["task"], body["duration"], body["text"]) == ("transcribe", 2.25, "Ann: Hello.\nB: Hi!")
    assert body["segments"] == [
        {
            "type": "transcript.text.segment",
            "id": "seg_001",
            "start": 0.0,
            "end": 1.25,
            "text": "Hello.",
            "speaker": "Ann",
        },
        {
            "type": "transcript.text.segment",
            "id": "seg_002",
            "start": 0.0,
            "end": 1.25,
            "text": "Hi!",
            "speaker": "B",
        },
    ]
    assert body["usage"] == {"type": "duration", "seconds": 3}


def test_a_turn_is_one_line(talk: Transcript, read_as: Read) -> None:
    talk = spoken(talk, ("A", " One,"), ("A", " two."), ("B", " Three."), ("A", " Four."))
    assert read_as(SCHEMA, render(talk, RenderOptions()))["text"] == "A: One, two.\nB: Three.\nA: Four."


def test_token_usage(talk: Transcript, read_as: Read) -> None:
    assert read_as(SCHEMA, render(talk, RenderOptions(token_usage=True)))["usage"]["type"] == "tokens"


def test_silence(talk: Transcript, read_as: Read) -> None:
    body = read_as(SCHEMA, render(spoken(talk), RenderOptions()))
    assert (body["text"], body["segments"]) == ("", [])


@pytest.mark.parametrize(("number", "name"), [(0, "seg_001"), (998, "seg_999"), (999, "seg_1000")])
def test_ids(talk: Transcript, read_as: Read, number: int, name: str) -> None:
    segment: Segment = replace(talk.segments[0], id=number, speaker="A")
    body = read_as(SCHEMA, render(replace(talk, segments=(segment,)), RenderOptions()))
    assert body["segments"][0]["id"] == name
