"""Which words of a text that isn't over will stay.

The model is sure of most words as soon as they are said. It is unsure of the last one, which may be half a
word; of what stands between two clauses, before the second has come to its end; and of what it didn't
understand. So a word is believed by its probability, by the same words in the decode before, and by its age.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from app.engines.interface import WordTiming
from app.transcription.unfinished import UnfinishedText

_NO_LETTERS = "PSZ"
"""The classes of punctuation, symbols and separators in Unicode."""


@dataclass(frozen=True)
class Rules:
    """When a word will stay, if all before it do.

    It must end `delay_seconds` before the audio does. If it is at least `sure` likely that will do. Otherwise
    the decode before must have the same words so far, and it must be `least` likely or end `doubt_seconds`
    before the audio does. The first word, since many may come first, need only be `least_first` likely, but
    `first_delay_seconds` old. `step_seconds`: so much audio must have come before it is decoded again.
    """

    delay_seconds: float = 0.3
    sure: float = 0.9
    least: float = 0.65
    least_first: float = 0.5
    first_delay_seconds: float = 1.0
    doubt_seconds: float = 3.0
    step_seconds: float = 0.4

    def holds(self, word: WordTiming, age_seconds: float, *, agreed: bool, first: bool) -> bool:
        """Whether a word that ended so long ago will stay; `agreed`: the decode before has the same words."""
        if age_seconds < self.delay_seconds:
            return False
        if word.probability >= self.sure:
            return True
        if not agreed or age_seconds >= self.doubt_seconds:
            return agreed
        if first:
            return word.probability >= self.least_first and age_seconds >= self.first_delay_seconds
        return word.probability >= self.least


def stable_tokens(
    text: UnfinishedText, before: UnfinishedText | None, seconds: float, rules: Rules
) -> tuple[int, ...]:
    """The first of a window's tokens, timestamps between them included, whose text will stay.

    They end with a letter or a figure: what punctuation follows is known with the next word. `before` is the
    text of the decode before; `seconds` is how long the window's audio is.
    """
    words = text.words[: _stable_words(text.words, before.words if before else (), seconds, rules)]
    count = sum(len(word.tokens) for word in words)
    places = [place for place, token in enumerate(text.tokens) if token < text.tokenizer.eot][:count]
    while places and not _has_letters(text.tokenizer.token_bytes(text.tokens[places[-1]])):
        places.pop()
    return text.tokens[: places[-1] + 1] if places else ()


def _stable_words(
    words: Sequence[WordTiming], before: Sequence[WordTiming], seconds: float, rules: Rules
) -> int:
    agreed = _agreed_words(words, before)
    for place, word in enumerate(words):
        age = seconds - word.end_seconds
        if not rules.holds(word, age, agreed=place < agreed, first=place == 0):
            return place
    return len(words)


def _agreed_words(words: Sequence[WordTiming], before: Sequence[WordTiming]) -> int:
    """How many words both begin with."""
    pairs = zip(words, before, strict=False)
    differing = (place for place, (word, other) in enumerate(pairs) if word.tokens != other.tokens)
    return next(differing, min(len(words), len(before)))


def _has_letters(token: bytes) -> bool:
    """Whether a token's text has any letter, figure or sign of a script, or is a part of a character."""
    try:
        return any(unicodedata.category(letter)[0] not in _NO_LETTERS for letter in token.decode())
    except UnicodeDecodeError:
        return True
