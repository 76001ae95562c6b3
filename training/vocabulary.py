"""The tokens, phonemes and words that a corpus holds: what the network learns to tell apart."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from whisper.tokenizer import get_tokenizer

from training import words
from training.grammar import capitalised
from training.utterance import Utterance, bare_word

TOKENIZER = get_tokenizer(multilingual=True, num_languages=99, language="en", task="transcribe")
LANGUAGE_TOKENS = {language: TOKENIZER.to_language_token(language) for language in ("en", "de")}
TIMESTAMPS = range(TOKENIZER.timestamp_begin, TOKENIZER.timestamp_begin + 1501)  # 0.00 to 30.00 s


class WordTokens(NamedTuple):
    """A word's own tokens and those of the punctuation after it."""

    core: tuple[int, ...]
    punctuation: tuple[int, ...]


@cache
def word_tokens(word: str) -> tuple[int, ...]:
    """The tokens of a word with the space before it."""
    return tuple(TOKENIZER.encode(" " + word))


def text_tokens(text: str) -> list[WordTokens]:
    """The tokens of a sentence, word by word."""
    cores = [word.rstrip(".,?") for word in text.split()]
    return [
        WordTokens(word_tokens(core), tuple(TOKENIZER.encode(mark)[0] for mark in word[len(core) :]))
        for word, core in zip(text.split(), cores, strict=True)
    ]


@dataclass(frozen=True)
class Vocabulary:
    """`tokens`: those in use, ascending; a token's place is its row. `phonemes`, `words`: labels.

    Label 0 is "none": silence, noise.
    """

    tokens: tuple[int, ...]
    phonemes: dict[str, int]
    words: dict[str, int]

    @classmethod
    def of(cls, utterances: Sequence[Utterance]) -> "Vocabulary":
        """What these utterances hold, and every word of the grammar with and without a capital letter."""
        phonemes = {name for utterance in utterances for name, _ in utterance.phonemes or ()}
        spoken = {bare_word(word) for utterance in utterances for word in utterance.text.split()}
        return cls(tuple(sorted(_used_tokens(utterances))), _labels(phonemes), _labels(spoken))

    @cached_property
    def rows(self) -> dict[int, int]:
        """Token -> row."""
        return {token: row for row, token in enumerate(self.tokens)}

    @property
    def unknown_row(self) -> int:
        """The row that stands for all tokens not in use."""
        return len(self.tokens)

    @property
    def timestamp_rows(self) -> range:
        """The rows of the timestamps 0.00 to 30.00 s: they are neighbours."""
        first = self.rows[TIMESTAMPS[0]]
        return range(first, first + len(TIMESTAMPS))

    def covers(self, utterance: Utterance) -> bool:
        """Whether every token and word of the utterance is in use here."""
        tokens = _flat([utterance.text, utterance.translation or ""])
        spoken = (bare_word(word) for word in utterance.text.split())
        return all(token in self.rows for token in tokens) and all(word in self.words for word in spoken)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(stored["tokens"]), stored["phonemes"], stored["words"])


def _used_tokens(utterances: Sequence[Utterance]) -> set[int]:
    texts = [utterance.text for utterance in utterances]
    translations = [utterance.translation for utterance in utterances if utterance.translation]
    known = [*words.ALONE, *words.HOMOPHONES]
    spelled = [token for word in known for form in (word, capitalised(word)) for token in word_tokens(form)]
    return {*_special_tokens(), *spelled, *_flat(texts + translations)}


def _special_tokens() -> Iterator[int]:
    yield from (TOKENIZER.eot, TOKENIZER.sot, TOKENIZER.sot_prev, TOKENIZER.no_speech)
    yield from (TOKENIZER.no_timestamps, TOKENIZER.transcribe, TOKENIZER.translate)
    yield from LANGUAGE_TOKENS.values()
    yield from TIMESTAMPS


def _flat(texts: Iterable[str]) -> Iterator[int]:
    for text in texts:
        for core, punctuation in text_tokens(text):
            yield from core
            yield from punctuation


def _labels(names: Iterable[str]) -> dict[str, int]:
    return {name: label for label, name in enumerate(sorted(names), start=1)}
