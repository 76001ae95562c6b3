"""Scripted texts with the times of their words."""

from collections.abc import Sequence

from app.engines.interface import WordTiming
from app.transcription.unfinished import UnfinishedText
from tests.scripted_engine import LetterTokenizer, spell, ts

SECONDS_PER_WORD = 0.5


def word(text: str, end_seconds: float, probability: float = 1.0) -> WordTiming:
    """A word of half a second."""
    return WordTiming(text, spell(text), end_seconds - SECONDS_PER_WORD, end_seconds, probability)


def words_of(text: str, *probabilities: float) -> tuple[WordTiming, ...]:
    """Words of half a second, one after the other from 0.0 s on; those without a probability are certain."""
    texts = [f" {each}" for each in text.split()]
    certain = [1.0] * (len(texts) - len(probabilities))
    return tuple(
        word(each, SECONDS_PER_WORD * number, probability)
        for number, (each, probability) in enumerate(zip(texts, [*probabilities, *certain], strict=True), 1)
    )


def text_of(text: str, *probabilities: float, tokens: Sequence[int] | None = None) -> UnfinishedText:
    """A text that begins with a timestamp."""
    words = words_of(text, *probabilities)
    spelled = tuple(token for each in words for token in each.tokens)
    return UnfinishedText(
        (ts(0), *spelled) if tokens is None else tuple(tokens), words, "en", LetterTokenizer()
    )
