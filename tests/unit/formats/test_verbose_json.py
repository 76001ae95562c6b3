import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.formats.render_options import RenderOptions
from app.formats.verbose_json import render, without_punctuation
from app.languages import LANGUAGES
from app.transcript import Segment, Task, Transcript, Word

Read = Callable[[str, str], dict[str, Any]]
SPEC = "transcription_verbose_json"
WORDS_ONLY = RenderOptions(granularities=frozenset({"word"}))
BOTH = RenderOptions(granularities=frozenset({"word", "segment"}))


def test_is_whole_by_default(talk: Transcript, read_as: Read) -> None:
    body = read_as(SPEC, render(talk, RenderOptions()))
    assert list(body) == ["task", "language", "duration", "text", "segments", "usage"]
    assert body["task"] == "transcribe"
    assert body["language"] == "english"
    assert body["duration"] == 2.25
    assert body["text"] == "Good morning, it's nine -"
    assert body["usage"] == {"type": "duration", "seconds": 3}


def test_segments_keep_their_ten_fields_and_their_leading_blank(talk: Transcript, read_as: Read) -> None:
    body = read_as(SPEC, render(talk, RenderOptions()))
    assert body["segments"][1] == {
        "id": 1,
        "seek": 0,
        "start": 1.5,
        "end": 2.0,
        "text": " it's nine -",
        "tokens": [50364, 401, 50514],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 0.9,
        "no_speech_prob": 0.01,
    }


def test_segments_without_text_stay(talk: Transcript, read_as: Read) -> None:
    mute = replace(talk, segments=(replace(talk.segments[0], text="", words=()), *talk.segments[1:]))
    body = read_as(SPEC, render(mute, RenderOptions()))
    assert [segment["text"] for segment in body["segments"]] == ["", " it's nine -"]


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        (RenderOptions(), {"segments"}, {"words"}),
        (WORDS_ONLY, {"words"}, {"segments"}),
        (BOTH, {"words", "segments"}, set()),
    ],
)
def test_lists_only_what_was_asked(
    talk: Transcript, read_as: Read, options: RenderOptions, present: set[str], absent: set[str]
) -> None:
    body = read_as(SPEC, render(talk, options))
    assert present <= body.keys()
    assert not absent & body.keys()


def test_words_are_bare_and_punctuation_alone_is_no_word(talk: Transcript, read_as: Read) -> None:
    body = read_as(SPEC, render(talk, BOTH))
    assert body["words"] == [
        {"word": "Good", "start": 0.0, "end": 0.5},
        {"word": "morning", "start": 0.5, "end": 1.25},
        {"word": "it's", "start": 1.5, "end": 1.75},
        {"word": "nine", "start": 1.75, "end": 2.0},
    ]
    assert "words" not in body["segments"][0]


def listed(
    texts: list[str], language: str = "fr", task: Task = "transcribe"
) -> list[tuple[str, float, float]]:
    """The words of one segment, a second each."""
    words = tuple(Word(text, number, number + 1, 0.5) for number, text in enumerate(texts))
    segment = Segment(
        0, 0, 0.0, len(words), "".join(texts), (), 0.0, -0.1, 1.0, 0.0, words, language=language
    )
    transcript = Transcript(task, language, len(words), "".join(texts), (segment,))
    body = json.loads(render(transcript, WORDS_ONLY))
    return [(word["word"], word["start"], word["end"]) for word in body["words"]]


@pytest.mark.parametrize(
    "texts",
    [
        [" c", "'est"],
        [" aujourd", "'hui,"],
        [" well", "-known."],
        [" 3", ".5"],
        [" l", "'", "eau"],
        ["c", "'est"],
    ],
)
def test_a_word_is_what_stands_between_blanks(texts: list[str]) -> None:
    whole = "".join(texts).strip(" ,.")
    assert listed([*texts, " bien."]) == [(whole, 0, len(texts)), ("bien", len(texts), len(texts) + 1)]


def test_words_without_blanks_stay_apart_where_a_language_has_none() -> None:
    assert listed(["今", "日", "は"], "ja") == [("今", 0, 1), ("日", 1, 2), ("は", 2, 3)]
    assert listed([" It", "'s"], "ja", "translate") == [("It's", 0, 2)]


def test_segments_share_no_word(talk: Transcript) -> None:
    first, second = talk.segments
    glued = replace(second, words=(replace(second.words[0], text="it"), *second.words[1:]))
    words = json.loads(render(replace(talk, segments=(first, glued)), WORDS_ONLY))["words"]
    assert [word["word"] for word in words][1:3] == ["morning", "it"]


def test_silence_has_empty_lists(read_as: Read) -> None:
    body = read_as(SPEC, render(Transcript("transcribe", "de", 1.5, ""), BOTH))
    assert (body["text"], body["segments"], body["words"]) == ("", [], [])


@pytest.mark.parametrize("code", LANGUAGES)
def test_language_is_the_lower_case_english_name(talk: Transcript, read_as: Read, code: str) -> None:
    body = read_as(SPEC, render(replace(talk, language=code), RenderOptions()))
    assert body["language"] == LANGUAGES[code]


def test_a_translation_is_english(talk: Transcript, read_as: Read) -> None:
    translation = replace(talk, task="translate", language="de")
    body = read_as("translation_verbose_json", render(translation, RenderOptions()))
    assert (body["task"], body["language"]) == ("translate", "english")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_are_always_legal_json(talk: Transcript, read_as: Read, number: float) -> None:
    segment, word = talk.segments[0], talk.segments[0].words[0]
    broken = replace(
        segment,
        temperature=number,
        avg_logprob=number,
        compression_ratio=number,
        no_speech_prob=number,
        words=(replace(word, probability=number),),
    )
    body = read_as(SPEC, render(replace(talk, segments=(broken,)), BOTH))
    assert all(
        math.isfinite(body["segments"][0][name])
        for name in ("temperature", "avg_logprob", "compression_ratio", "no_speech_prob")
    )


def test_lone_surrogates_do_not_leave(talk: Transcript, read_as: Read) -> None:
    segment = replace(talk.segments[0], text=" \udcff")
    body = render(replace(talk, text=" \udcff", segments=(segment,)), RenderOptions())
    assert read_as(SPEC, body.encode("utf-8").decode())["text"] == "\ufffd"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (" volleyball.", "volleyball"),
        (" “Hello,”", "Hello"),
        ("¿Qué", "Qué"),
        (" (laughs)", "laughs"),
        (" o'clock.", "o'clock"),
        (" don\u2019t!", "don\u2019t"),
        (" well-known,", "well-known"),
        (" U.S.", "U.S"),
        ("你好。", "你好"),
        ("「ありがとう」", "ありがとう"),
        (" नमस्ते।", "नमस्ते"),
        (" 50%.", "50%"),
        ("\uff15\uff10\uff05。", "\uff15\uff10\uff05"),
        (" $5,", "$5"),
        (" 5€!", "5€"),
        (" C#,", "C#"),
        (" C++.", "C++"),
        (" AT&T.", "AT&T"),
        (" &", "&"),
        (" @home,", "@home"),
        (" 20°C.", "20°C"),
        (" 3.14,", "3.14"),
        (" -5,", "-5"),
        (" (.5)", ".5"),
        (" -Hello", "Hello"),
        (" —", ""),
        (" ...", ""),
        ("…", ""),
        ("  ", ""),
        ("", ""),
        (" ♪", "♪"),
    ],
)
def test_bare(word: str, expected: str) -> None:
    assert without_punctuation(word) == expected


@given(st.text())
def test_bare_only_cuts_edges_and_is_done_after_once(word: str) -> None:
    once = without_punctuation(word)
    assert once in word
    assert without_punctuation(once) == once


@given(st.text(st.characters(categories=("L", "N")), min_size=1), st.sampled_from(["", " ", " \u2018", "("]))
def test_bare_never_touches_letters(letters: str, before: str) -> None:
    assert without_punctuation(f"{before}{letters}, ") == letters
