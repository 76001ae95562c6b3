"""Our cue cutting beside openai-whisper's own subtitle writers."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper.utils import WriteSRT, WriteVTT

from app.formats import subrip, webvtt
from app.formats.cues import Cue, cues
from app.formats.render_options import RenderOptions
from app.transcript import Segment, Transcript, Word

LIMITS = [
    RenderOptions(max_line_width=width, max_line_count=count, max_words_per_line=words)
    for width, count, words in product([None, 1, 7, 20, 42], [None, 1, 2, 3], [None, 1, 2, 5])
]


class _TidyCues:
    """The two things we do that openai-whisper does not: strip a cue's end, leave out empty cues."""

    def iterate_result(self, *given: Any, **options: Any) -> Iterator[tuple[str, str, str]]:
        for start, end, text in super().iterate_result(*given, **options):  # type: ignore[misc]
            if text.strip():
                yield start, end, text.strip()


class TheirSRT(_TidyCues, WriteSRT):
    pass


class TheirVTT(_TidyCues, WriteVTT):
    always_include_hours = True


def their_segment(segment: Segment, with_words: bool) -> dict[str, Any]:
    plain = {"start": segment.start_seconds, "end": segment.end_seconds, "text": segment.text}
    words = [{"word": w.text, "start": w.start_seconds, "end": w.end_seconds} for w in segment.words]
    return plain | ({"words": words} if with_words else {})


def theirs(writer: type[TheirSRT | TheirVTT], transcript: Transcript, render_options: RenderOptions) -> str:
    with_words = render_options.limits_subtitles()
    result = {"segments": [their_segment(segment, with_words) for segment in transcript.segments]}
    writer_options = {
        name: getattr(render_options, name)
        for name in ("max_line_width", "max_line_count", "max_words_per_line")
    }
    file = io.StringIO()
    writer(".").write_result(result, file, writer_options)
    return file.getvalue()


def transcript_of(*segments: Segment) -> Transcript:
    text = "".join(segment.text for segment in segments)
    return Transcript("transcribe", "en", 60.0, text, segments)


def segment_of(*words: Word, text: str | None = None, start: float = 0.0, end: float = 1.0) -> Segment:
    return Segment(
        id=0,
        seek=0,
        start_seconds=words[0].start_seconds if words else start,
        end_seconds=words[-1].end_seconds if words else end,
        text="".join(word.text for word in words) if text is None else text,
        tokens=(),
        temperature=0.0,
        avg_logprob=0.0,
        compression_ratio=1.0,
        no_speech_prob=0.0,
        words=words,
    )


def spoken(words: list[str], start: float = 0.0, step: float = 0.25) -> Segment:
    times = (start + step * number for number in range(len(words)))
    return segment_of(*(Word(word, time, time + step, 1.0) for word, time in zip(words, times, strict=True)))


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    blanks = st.sampled_from([" ", " ", " ", ""])
    letters = st.text("abcdé你,.!?'- 1", max_size=12).map(lambda text: f"x{text}")
    pauses = st.sampled_from([0.0, 0.25, 2.5, 3.0, 3.0001, 7.25])
    clock, segments = 0.0, []
    for length in draw(st.lists(st.integers(0, 9), max_size=5)):
        words = []
        for _ in range(length):
            start = clock + draw(pauses)
            clock = start + draw(st.sampled_from([0.0, 0.125, 0.5]))
            words.append(Word(draw(blanks) + draw(letters), start, clock, 0.5))
        segments.append(segment_of(*words, start=clock, end=clock))
    return transcript_of(*segments)


@settings(max_examples=60)
@given(transcripts())
def test_cuts_as_openai_whisper_does(transcript: Transcript) -> None:
    for options in LIMITS:
        assert subrip.render(transcript, options) == theirs(TheirSRT, transcript, options)
        assert webvtt.render(transcript, options) == theirs(TheirVTT, transcript, options)


@pytest.mark.parametrize("options", LIMITS, ids=str)
def test_cuts_endless_segments_as_openai_whisper_does(options: RenderOptions) -> None:
    transcript = transcript_of(spoken([" a"] * 1_205), spoken([" lengthy"] * 300, start=400.0))
    assert subrip.render(transcript, options) == theirs(TheirSRT, transcript, options)


def texts(transcript: Transcript, options: RenderOptions) -> list[str]:
    return [cue.text for cue in cues(transcript, options)]


FOX = transcript_of(
    spoken([" The", " quick", " brown", " fox"]), spoken([" jumps", " over.", " Hi!"], start=1.0)
)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (RenderOptions(), ["The quick brown fox", "jumps over. Hi!"]),
        (RenderOptions(max_line_width=10), ["The quick\nbrown fox", "jumps\nover. Hi!"]),
        (RenderOptions(max_line_width=3), ["The\nquick\nbrown\nfox", "jumps\nover.\nHi!"]),
        (RenderOptions(max_words_per_line=3), ["The quick brown", "fox", "jumps over. Hi!"]),
        (RenderOptions(max_line_count=1), ["The quick brown fox", "jumps over. Hi!"]),
        (
            RenderOptions(max_line_width=10, max_line_count=2),
            ["The quick\nbrown fox", "jumps\nover. Hi!"],
        ),
        (
            RenderOptions(max_line_width=25, max_line_count=1, max_words_per_line=1),
            ["The quick brown fox jumps", "over. Hi!"],
        ),
    ],
)
def test_limits(options: RenderOptions, expected: list[str]) -> None:
    assert texts(FOX, options) == expected


def test_a_pause_over_three_seconds_ends_a_cue() -> None:
    parted = transcript_of(spoken([" One", " two"]), spoken([" three"], start=3.3))
    filled = RenderOptions(max_line_width=42, max_line_count=2)
    assert texts(parted, filled) == ["One two", "three"]
    joined = transcript_of(spoken([" One", " two"]), spoken([" three"], start=3.25))
    assert texts(joined, filled) == ["One two three"]


def test_cue_times_are_those_of_its_words() -> None:
    cut = list(cues(FOX, RenderOptions(max_words_per_line=3)))
    assert cut[:2] == [Cue(0.0, 0.75, "The quick brown"), Cue(0.75, 1.0, "fox")]


def test_words_alone_do_not_change_the_cues() -> None:
    segment = replace(FOX.segments[0], start_seconds=0.1, end_seconds=9.9)
    assert list(cues(transcript_of(segment), RenderOptions())) == [Cue(0.1, 9.9, "The quick brown fox")]


def test_limits_without_word_times_fall_back_to_segments() -> None:
    wordless = transcript_of(segment_of(text=" No times here."))
    assert texts(wordless, RenderOptions(max_line_width=2)) == ["No times here."]


def test_blank_words_take_no_line() -> None:
    blanks = transcript_of(spoken([" ", " One", "\n", " two"]))
    assert texts(blanks, RenderOptions(max_words_per_line=1)) == ["One", "two"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" left --> right ", ["left -> right"]),
        ("left ---> right", ["left -> right"]),
        ("left -> right", ["left -> right"]),
        ("first\n\nsecond", ["first\nsecond"]),
        ("first\r\n \r\nsecond\r", ["first\nsecond"]),
        ("\n", []),
        ("", []),
    ],
)
def test_text_can_not_break_out_of_its_cue(text: str, expected: list[str]) -> None:
    assert texts(transcript_of(segment_of(text=text)), RenderOptions()) == expected
    as_word = transcript_of(segment_of(Word(text, 0.0, 1.0, 1.0)))
    assert texts(as_word, RenderOptions(max_line_width=80)) == expected


BLOCK = re.compile(r"(\d+)\n(\d{2,}:\d\d:\d\d,\d{3}) --> (\d{2,}:\d\d:\d\d,\d{3})\n((?:.+\n)+)\n")


@given(st.lists(st.text()))
def test_any_text_gives_gapless_blocks_that_part_again(spoken_texts: list[str]) -> None:
    transcript = transcript_of(*(segment_of(text=text) for text in spoken_texts))
    body = subrip.render(transcript, RenderOptions())
    blocks = BLOCK.findall(body)
    assert BLOCK.sub("", body) == ""
    assert [int(block[0]) for block in blocks] == list(range(1, len(blocks) + 1))
    assert len(blocks) == sum(1 for text in spoken_texts if text.strip())
