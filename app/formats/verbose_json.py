"""response_format=verbose_json: the text with its segments, its words or both."""

import unicodedata
from collections.abc import Sequence
from typing import Any

from app.formats.render_options import RenderOptions
from app.formats.usage import duration_usage
from app.formats.wire import dump_json, finite
from app.languages import LANGUAGES
from app.transcript import Segment, Transcript, Word

_SPOKEN_SIGNS = frozenset("%‰‱٪&@#§")  # Unicode counts them as punctuation, but they are read aloud


def render(transcript: Transcript, options: RenderOptions) -> str:
    """OpenAI's TranscriptionVerbose (or TranslationVerbose) object.

    No value is ever null: what was not asked for has no key.
    """
    body: dict[str, Any] = {
        "task": transcript.task,
        "language": language_name(transcript),
        "duration": finite(transcript.duration_seconds),
        "text": transcript.text.strip(),
    }
    if "segment" in options.granularities:
        body["segments"] = [segment_object(segment) for segment in transcript.segments]
    if options.asks_words():
        body["words"] = _words(transcript.words)
    return dump_json(body | {"usage": duration_usage(transcript)})


def language_name(transcript: Transcript) -> str:
    """The language of the text, which for a translation is not the one that was spoken."""
    return "english" if transcript.task == "translate" else LANGUAGES[transcript.language]


def segment_object(segment: Segment) -> dict[str, Any]:
    """A segment with openai-whisper's keys, as OpenAI has them."""
    return {
        "id": segment.id,
        "seek": segment.seek,
        "start": finite(segment.start_seconds),
        "end": finite(segment.end_seconds),
        "text": segment.text,
        "tokens": segment.tokens,
        "temperature": finite(segment.temperature),
        "avg_logprob": finite(segment.avg_logprob),
        "compression_ratio": finite(segment.compression_ratio),
        "no_speech_prob": finite(segment.no_speech_prob),
    }


def _words(words: Sequence[Word]) -> list[dict[str, Any]]:
    """The words as whisper-1 lists them, bare; those that are nothing but punctuation are left out."""
    bared = ((bare(word.text), word) for word in words)
    return [
        {"word": text, "start": finite(word.start_seconds), "end": finite(word.end_seconds)}
        for text, word in bared
        if text
    ]


def bare(word: str) -> str:
    """A word without the blanks and punctuation at its edges.

    What is within stays (`o'clock`), and so do signs that carry meaning: `50%`, `C#`, `$5`, `-5`, `.5`.
    """
    kept = [index for index, character in enumerate(word) if not _is_edge(character)]
    if not kept:
        return ""
    first, last = kept[0], kept[-1]
    if first and word[first].isdecimal() and word[first - 1] in "-.":
        first -= 1
    return word[first : last + 1]


def _is_edge(character: str) -> bool:
    if character.isspace():
        return True
    # NFKC makes one sign of its full-width and small forms.
    spoken = unicodedata.normalize("NFKC", character) in _SPOKEN_SIGNS
    return unicodedata.category(character).startswith("P") and not spoken
