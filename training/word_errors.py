"""Word error rate."""

import re
from collections.abc import Sequence


def plain_words(text: str) -> list[str]:
    """The words of a text, in lower case and without punctuation."""
    return re.sub(r"[^\w ]", " ", text.lower()).split()


def word_errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """The fewest words to insert, leave out or replace to make `heard` of `reference`."""
    previous = list(range(len(heard) + 1))
    for row, expected in enumerate(reference, start=1):
        current = [row]
        for column, word in enumerate(heard, start=1):
            replaced = previous[column - 1] + (expected != word)
            current.append(min(previous[column] + 1, current[-1] + 1, replaced))
        previous = current
    return previous[-1]


def word_error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Errors over words of all (reference, heard) texts together; raises ValueError if there are no words."""
    words = sum(len(plain_words(reference)) for reference, _ in pairs)
    if not words:
        raise ValueError("The references hold no words.")
    errors = sum(word_errors(plain_words(reference), plain_words(heard)) for reference, heard in pairs)
    return errors / words
