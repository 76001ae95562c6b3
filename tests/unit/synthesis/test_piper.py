"""piper with voices that beep: 256 samples for every phoneme, higher for every next speaker."""

import numpy as np
import pytest

from app import synthesis
from app.errors import UnsupportedValue
from app.synthesis import VOICES
from app.synthesis.interface import Speech, Synthesizer
from tests.functional.recordings import DATA


@pytest.fixture(scope="module")
def piper() -> Synthesizer:
    return synthesis.start("piper", str(DATA / "piper" / "one_speaker.onnx"))


@pytest.fixture(scope="module")
def three() -> Synthesizer:
    return synthesis.start("piper", str(DATA / "piper" / "three_speakers.onnx"))


def seconds(speech: Speech) -> float:
    return sum(map(len, speech.blocks)) / speech.rate


def test_the_first_voice_is_the_file_as_it_is(piper: Synthesizer) -> None:
    assert piper.name == "piper"
    speech = piper.speak("Good day. See you.", "alloy")
    blocks = list(speech.blocks)
    assert (speech.rate, len(blocks)) == (22_050, 2)
    assert all(block.dtype == np.int16 and np.abs(block).max() > 10_000 for block in blocks)


def test_one_speaker_has_thirteen_pitches_and_the_same_pace(piper: Synthesizer) -> None:
    spoken = {voice: piper.speak("Good day.", voice) for voice in VOICES}
    assert len({speech.rate for speech in spoken.values()}) == len(VOICES)
    lengths = [seconds(speech) for speech in spoken.values()]
    assert max(lengths) == pytest.approx(min(lengths), rel=0.02)


def test_speakers_take_turns_as_voices(three: Synthesizer) -> None:
    first, second, _, fourth, *_ = [
        np.concatenate(list(three.speak("Good day.", voice).blocks)) for voice in VOICES
    ]
    assert (first == fourth).all()
    assert (first != second).any()


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_speed(piper: Synthesizer, speed: float) -> None:
    usual = seconds(piper.speak("Good day.", "alloy"))
    assert seconds(piper.speak("Good day.", "alloy", speed)) == pytest.approx(usual / speed, rel=0.05)


def test_brackets_are_text(piper: Synthesizer) -> None:
    assert seconds(piper.speak("[[good day]]", "alloy")) == pytest.approx(
        seconds(piper.speak("good day", "alloy")), rel=0.3
    )


def test_the_voice_has_one_language(piper: Synthesizer) -> None:
    assert seconds(piper.speak("Good day.", "alloy", language="en")) > 0
    with pytest.raises(
        UnsupportedValue, match="'de' is not what this server's voice speaks, which is 'en-us'"
    ):
        piper.speak("Guten Tag.", "alloy", language="de")
