"""Word error rates."""

import numpy as np
import pytest

from benchmarks import word_errors
from benchmarks.speech import Recording


def recording(text: str, language: str = "en") -> Recording:
    return Recording(text, np.zeros(0, np.float32), text, language)


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        (
            "Mr. Smith doesn't pay twenty dollars, he WON'T.",
            "en",
            "mister smith does not pay $20 he will not",
        ),
        ("Ça va, M. Dupont ?", "fr", "ça va m dupont"),
        ("一二三。", "zh", "一 二 三"),
        ("世界", "ja", "世 界"),
    ],
)
def test_texts_are_normalised(text: str, language: str, words: str) -> None:
    assert word_errors.words(text, language) == words.split()


def test_errors_are_counted_over_all_recordings() -> None:
    heard = {"red green blue": "Red, green.", "white": "white black", "the centre": "The center!"}
    recordings = [recording(text) for text in heard]
    assert word_errors.errors(recordings, lambda each: heard[each.text]) == (2, 6)


def test_a_table(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    starts = {"right": lambda folder, precision: lambda each: each.text, "mute": lambda *_: lambda each: ""}
    contenders = {name: (start, name) for name, start in starts.items()}
    monkeypatch.setattr(word_errors, "CONTENDERS", contenders)
    heard = {"people": (recording("a b c d"),), "clips": (recording("e"), recording("f"))}
    assert list(word_errors.rows("base", heard, tmp_path)) == [
        "| base | people | clips |",
        "| --- | --- | --- |",
        "| right | 0 of 4, 0.0% | 0 of 2, 0.0% |",
        "| mute | 4 of 4, 100.0% | 2 of 2, 100.0% |",
    ]
