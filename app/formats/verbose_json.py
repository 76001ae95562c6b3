"""response_format=verbose_json: the text with its segments, its words or both."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from app.formats.render_options import RenderOptions
from app.formats.usage import duration_usage
from app.formats.wire import dump_json, finite
from app.languages import LANGUAGES
from app.transcript import Segment, Task, Transcript, Word

_WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages whose words are not told apart by spaces; for openai-whisper, too."""
_SPOKEN_SIGNS = frozenset("%‰‱٪&@#§")  # Unicode counts them as punctuation, but they are read aloud


def render(transcript: Transcript, options: RenderOptions) -> str:
    """OpenAI's TranscriptionVerbose (or TranslationVerbose) object as JSON."""
    return dump_json(verbose_object(transcript, options))


def verbose_object(transcript: Transcript, options: RenderOptions) -> dict[str, Any]:
    """The same as an object. No value is ever null: what was not asked for has no key."""
    body: dict[str, Any] = {
        "task": transcript.task,
        "language": language_name(transcript),
        "duration": finite(transcript.duration_seconds),
        "text": transcript.text.strip(),
    }
    if "segment" in options.granularities:
        body["segments"] = [segment_object(segment) for segment in transcript.segments]
    if options.asks_words():
        words = (word for segment in transcript.segments for word in spoken_words(segment, transcript.task))
        body["words"] = [word_object(word) for word in words]
    return body | {"usage": duration_usage(transcript)}


def language_name(transcript: Transcript) -> str:
    """The language of the text, which for a translation is not the one that was spoken."""
    return "english" if transcript.task == "translate" else LANGUAGES[transcript.language]


def segment_object(segment: Segment) -> dict[str, Any]:
    """OpenAI's TranscriptionSegment object."""
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


def spoken_words(segment: Segment, task: Task) -> Iterator[Word]:
    """The words as whisper-1 lists them, bare; those that are nothing but punctuation are left out."""
    spaced = task == "translate" or segment.language not in _WITHOUT_SPACES
    for word in _joined(segment.words) if spaced else segment.words:
        if text := without_punctuation(word.text):
            yield replace(word, text=text)


def word_object(word: Word) -> dict[str, Any]:
    """OpenAI's TranscriptionWord object."""
    return {"word": word.text, "start": finite(word.start_seconds), "end": finite(word.end_seconds)}


def word_with_probability(word: Word) -> dict[str, Any]:
    """The same as openai-whisper has it."""
    return word_object(word) | {"probability": finite(word.probability)}


def _joined(words: Sequence[Word]) -> Iterator[Word]:
    """The words between blanks: openai-whisper cuts `c'est` and `3.5` at their punctuation."""
    whole: Word | None = None
    for word in words:
        if whole and not word.text[:1].isspace():
            whole = Word(
                whole.text + word.text,
                whole.start_seconds,
                word.end_seconds,
                min(whole.probability, word.probability),
            )
            continue
        if whole:
            yield whole
        whole = word
    if whole:
        yield whole


def without_punctuation(word: str) -> str:
    """A word without the blanks and punctuation at its edges.

    Punctuation inside is kept (`o'clock`), and so are signs that are spoken: `50%`, `C#`, `$5`, `-5`, `.5`.
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
