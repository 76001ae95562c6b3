"""openai-whisper's own files: the same as its writers make of what `transcribe()` returns."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from whisper import utils

from app.formats.render_options import RenderOptions
from app.formats.whisper_files import RENDERERS
from app.transcript import Transcript
from tests.transcripts import as_whispers

WRITERS = {
    "txt": utils.WriteTXT,
    "vtt": utils.WriteVTT,
    "srt": utils.WriteSRT,
    "tsv": utils.WriteTSV,
    "json": utils.WriteJSON,
}
PLAIN = RenderOptions()
WORDS = RenderOptions(frozenset({"segment", "word"}), max_line_width=1000, max_line_count=10)


def as_whisper_has_it(transcript: Transcript, *, words: bool) -> dict[str, Any]:
    """What `transcribe()` returns for it."""
    segments = [as_whispers(segment, words=words) for segment in transcript.segments]
    return {"text": transcript.text, "segments": segments, "language": transcript.language}


def written(ending: str, result: dict[str, Any]) -> str:
    """By openai-whisper, with the options that whisper-asr-webservice gives it."""
    file = io.StringIO()
    options = {"max_line_width": 1000, "max_line_count": 10, "highlight_words": False}
    WRITERS[ending]("/nowhere").write_result(result, file=file, options=options)
    return file.getvalue()


@pytest.fixture(params=[0.0, 3_598.5, 360_000.0], ids=["at the start", "over an hour", "days later"])
def shifted(request: pytest.FixtureRequest, talk: Transcript) -> Transcript:
    def later(thing: Any) -> Any:
        start, end = thing.start_seconds + request.param, thing.end_seconds + request.param
        return replace(thing, start_seconds=start, end_seconds=end)

    segments = [replace(later(segment), words=tuple(map(later, segment.words))) for segment in talk.segments]
    return replace(talk, segments=tuple(segments))


@pytest.mark.parametrize("words", [False, True], ids=["segments", "words"])
@pytest.mark.parametrize("ending", ["txt", "vtt", "srt", "tsv"])
def test_texts(shifted: Transcript, ending: str, words: bool) -> None:
    expected = written(ending, as_whisper_has_it(shifted, words=words))
    assert RENDERERS[ending](shifted, WORDS if words else PLAIN) == expected


@pytest.mark.parametrize("words", [False, True], ids=["segments", "words"])
def test_json(shifted: Transcript, words: bool) -> None:
    stripped = replace(shifted, text=shifted.text.strip())
    rendered = json.loads(RENDERERS["json"](stripped, WORDS if words else PLAIN))
    expected = json.loads(written("json", as_whisper_has_it(shifted, words=words)))
    assert rendered == expected
    assert list(rendered) == list(expected)
    assert list(rendered["segments"][0]) == list(expected["segments"][0])


def test_nothing_said(talk: Transcript) -> None:
    silence = replace(talk, text="", segments=())
    result = as_whisper_has_it(silence, words=False)
    for ending in ("txt", "vtt", "srt", "tsv"):
        assert RENDERERS[ending](silence, PLAIN) == written(ending, result)
    assert json.loads(RENDERERS["json"](silence, PLAIN)) == result


def test_tabs_and_arrows(talk: Transcript) -> None:
    first = replace(talk.segments[0], text=" a\tb --> c")
    odd = replace(talk, segments=(first,))
    for ending in ("vtt", "srt", "tsv"):
        assert RENDERERS[ending](odd, PLAIN) == written(ending, as_whisper_has_it(odd, words=False))
