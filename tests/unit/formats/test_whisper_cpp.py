"""The shapes of whisper.cpp's server."""

import json

from app.formats.render_options import RenderOptions
from app.formats.whisper_cpp import FORMATS
from app.transcript import Transcript

OPTIONS = RenderOptions(frozenset({"segment", "word"}))
TEXT = " Good morning,\n it's nine -\n"


def rendered(name: str, talk: Transcript) -> str:
    return FORMATS[name].render(talk, OPTIONS)


def test_text_has_a_line_for_each_segment(talk: Transcript) -> None:
    assert rendered("text", talk) == TEXT
    assert json.loads(rendered("json", talk)) == {"text": TEXT}


def test_verbose_json(talk: Transcript) -> None:
    body = json.loads(rendered("verbose_json", talk))
    assert list(body) == ["task", "language", "duration", "text", "segments"]
    assert (body["task"], body["language"], body["duration"], body["text"]) == (
        "transcribe",
        "english",
        2.25,
        TEXT,
    )
    first = body["segments"][0]
    assert list(first) == [
        "id",
        "text",
        "start",
        "end",
        "words",
        "tokens",
        "temperature",
        "avg_logprob",
        "no_speech_prob",
    ]
    assert first["words"][0] == {"word": " Good", "start": 0.0, "end": 0.5, "probability": 0.9}


def test_subtitles(talk: Transcript) -> None:
    assert rendered("srt", talk).startswith("1\n00:00:00,000 --> 00:00:01,250\nGood morning,\n\n2\n")
    assert rendered("vtt", talk).startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nGood morning,\n\n")
