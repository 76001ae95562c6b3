"""One spoken sentence with what the network learns from: its sound, its text and where each word lies."""

from dataclasses import dataclass

import numpy as np

from training import flite
from training.espeak import Speech
from training.flite import PUNCTUATION, WordTime
from training.mel import SAMPLE_RATE, log_mel

_LOUD = 0.004  # an amplitude that silence stays under
_LEAD_SECONDS = 0.02
_TAIL_SECONDS = 0.06
_SHORTEST_WORD_SECONDS = 0.05


@dataclass(frozen=True)
class Utterance:
    """A sentence as spoken once, trimmed; times are seconds from its first sample.

    `words` and `phonemes` are None where the engine did not tell; `mel` is log10 power, [frames, 80] of
    float16.
    """

    text: str
    language: str
    voice: str
    translation: str | None
    words: list[WordTime] | None
    phonemes: list[tuple[str, float]] | None
    end_seconds: float
    mel: np.ndarray

    @property
    def frames(self) -> int:
        return len(self.mel)


@dataclass(frozen=True)
class Span:
    """Where in some samples the speech lies, and where to cut around it, in seconds."""

    speech_end: float
    cut_start: float
    cut_end: float

    def cut(self, samples: np.ndarray) -> np.ndarray:
        return samples[int(self.cut_start * SAMPLE_RATE) : int(self.cut_end * SAMPLE_RATE)]


def bare_word(word: str) -> str:
    """A word of a sentence without punctuation, in lower case."""
    return word.strip(PUNCTUATION).lower()


def spoken_span(samples: np.ndarray) -> Span:
    """The span of 16 kHz samples from just before the first sound to just after the last."""
    loud = np.nonzero(np.abs(samples) > _LOUD)[0]
    start, end = (loud[0] / SAMPLE_RATE, (loud[-1] + 1) / SAMPLE_RATE) if len(loud) else (0.0, 0.0)
    cut_end = min(len(samples) / SAMPLE_RATE, end + _TAIL_SECONDS)
    return Span(end, max(0.0, start - _LEAD_SECONDS), cut_end)


def from_espeak(
    speech: Speech, text: str, language: str, voice: str, translation: str | None = None
) -> Utterance | None:
    """An utterance from what `Espeak.speak` gave; None where it did not tell when the first word starts."""
    if 0 not in speech.word_starts:
        return None
    span = spoken_span(speech.samples)
    starts = spread_merged(text.split(), speech.word_starts, span.speech_end)
    samples = span.cut(speech.samples)
    duration = len(samples) / SAMPLE_RATE
    words = [
        _shifted(word, span.cut_start, duration)
        for word in _cut_at_pauses(text.split(), starts, speech.phonemes, span.speech_end)
    ]
    phonemes = [(name, round(start - span.cut_start, 3)) for name, start in speech.phonemes]
    end = span.speech_end - span.cut_start
    return Utterance(text, language, voice, translation, words, phonemes, end, log_mel(samples))


def from_flite(samples: np.ndarray, phones: list[flite.Phone], text: str, voice: str) -> Utterance:
    """An utterance from what `flite.speak` gave; without word times where they could not be told."""
    span = spoken_span(samples)
    words = flite.word_times(text, phones)
    if words:
        words = [_shifted(word, span.cut_start) for word in words]
    end = span.speech_end - span.cut_start
    return Utterance(text, "en", f"flite-{voice}", None, words, None, end, log_mel(span.cut(samples)))


def spread_merged(words: list[str], starts: dict[int, float], end: float) -> list[float]:
    """A start for every word: those that the engine merged share their span by their numbers of letters."""
    known = sorted(starts)
    filled: list[float] = []
    for first, following in zip(known, [*known[1:], len(words)], strict=True):
        group = words[first:following]
        group_end = starts.get(following, end)
        letters = np.cumsum([0, *map(len, group)])
        shares = letters[:-1] / letters[-1]
        filled += [float(starts[first] + (group_end - starts[first]) * share) for share in shares]
    return filled


def _cut_at_pauses(
    words: list[str], starts: list[float], phonemes: list[tuple[str, float]], end: float
) -> list[WordTime]:
    pauses = [start for name, start in phonemes if not name.strip("_:")]
    timed = []
    for word, start, following in zip(words, starts, [*starts[1:], end], strict=True):
        inside = [pause for pause in pauses if start + _SHORTEST_WORD_SECONDS < pause < following]
        timed.append(WordTime(word, start, inside[0] if inside else following))
    return timed


def _shifted(word: WordTime, by: float, duration: float = np.inf) -> WordTime:
    start = round(max(0.0, word.start - by), 3)
    return WordTime(word.word, start, round(min(duration, word.end - by), 3))
