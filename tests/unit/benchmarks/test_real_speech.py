"""The table of speed on speech, with scripted contenders."""

import numpy as np
import pytest

from benchmarks import real_speech
from benchmarks.real_speech import CASES, PAIRS, Measured, measure, mixed, row
from benchmarks.speech import Recording


def clip(name: str, text: str, seconds: int) -> Recording:
    return Recording(name, np.zeros(seconds * 16_000, np.float32), text, "en")


CLIPS = [clip("one", "ants eat bread", 2), clip("two", "cats sleep", 3)]


class Parrot:
    """Says what is in a recording but for its first word, and keeps what it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[tuple[str, str | None, bool]] = []

    def hear(self, recording: Recording, language: str | None) -> str:
        self.asked.append((recording.name, language, False))
        return recording.text.partition(" ")[2]

    def hear_in_pieces(self, recording: Recording, language: str | None) -> str:
        self.asked.append((recording.name, language, True))
        return recording.text


def test_everybody_hears_every_clip_in_every_round() -> None:
    parrots = [Parrot("exact"), Parrot("int8")]
    measured = measure(CASES["detect"], parrots, CLIPS, rounds=2)
    for parrot in parrots:
        assert parrot.asked == [("one", None, False), *[("one", None, False), ("two", None, False)] * 2]
        assert len(measured.seconds[parrot.name]) == 2
    assert measured.wrong == {"exact": (2, 5), "int8": (2, 5)}


def test_pieces_are_asked_for() -> None:
    parrot = Parrot("exact")
    measured = measure(CASES["pieces"], [parrot], [mixed(CLIPS, minutes=0.1)], rounds=1)
    assert parrot.asked == [("mixed", "en", True)] * 2
    assert measured.wrong["exact"] == (0, 8)


def test_the_mixed_recording_is_as_long_as_was_asked_or_a_clip_more() -> None:
    recording = mixed(CLIPS, minutes=0.1)
    assert len(recording.samples) == (2 + 3 + 2) * 16_000
    assert recording.text == "ants eat bread cats sleep ants eat bread"


def test_a_row() -> None:
    names = {name for pair in PAIRS for name in pair}
    measured = Measured({name: [2.0, 4.0] for name in names}, dict.fromkeys(names, (1, 4)))
    measured.seconds["exact"] = [1.0, 2.0]
    cells = list(row(CASES["order"], measured))
    assert cells[0] == "mixed speech in order"
    assert "1.50 s, 1 of 4, 25.0%" in cells
    assert cells[-4:] == ["2.00 (1.8)", "2.00 (1.4)", "1.00 (1.3)", "1.00 (1.3)"]


def test_short_clips_are_english_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPEECH_SAMPLES", raising=False)
    others = [clip("long", "", 13), Recording("de", CLIPS[0].samples, "eins", "de")]
    monkeypatch.setattr(real_speech, "sentences", lambda settings: [*CLIPS, *others])
    minutes = []

    def read(length: float, settings: object) -> tuple[Recording, ...]:
        minutes.append(length)
        return (clip("phrase", "six", 6), clip("next", "seven", 7))

    monkeypatch.setattr(real_speech, "recordings", read)
    assert [one.name for one in real_speech.short_clips(real_speech.Settings())] == [
        "one",
        "two",
        "phrase",
        "next",
    ]
    assert minutes == [5 / 60]
