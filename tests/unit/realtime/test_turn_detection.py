"""Turns: with scripted probabilities to the frame, and with a synthesized voice."""

from pathlib import Path

import numpy as np
import pytest

from app.realtime.interface import Eagerness, Heard, SpeechStarted, SpeechStopped
from app.realtime.turn_detection import SemanticVad, ServerVad, is_whole
from app.waveform import SAMPLE_RATE, STEP, Samples
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits
from app.waveform.voice_activity import VoiceActivity

Events = list[SpeechStarted | SpeechStopped]
DATA = Path(__file__).resolve().parents[2] / "data"
FRAME = 512
FRAMES_MS = 32


class ScriptedVoice:
    """The first sample of a frame is its probability."""

    def __init__(self) -> None:
        self.resets = 0

    def probabilities(self, samples: Samples) -> list[float]:
        return [float(value) for value in samples[::FRAME]]

    def reset(self) -> None:
        self.resets += 1


def frames(probability: float, milliseconds: int) -> Samples:
    return np.full(milliseconds // FRAMES_MS * FRAME, probability, np.float32)


def quiet(milliseconds: int) -> Samples:
    return frames(0.0, milliseconds)


def loud(milliseconds: int) -> Samples:
    return frames(0.9, milliseconds)


def recording(name: str) -> Samples:
    with (DATA / name).open("rb") as file:
        return read_audio(file, AudioLimits()) * STEP


def test_an_utterance_has_padding_before_and_its_pause_behind() -> None:
    turns = ServerVad(ScriptedVoice())
    assert turns.feed(np.concatenate([quiet(640), loud(960), quiet(480)])) == [SpeechStarted(340)]
    assert turns.feed(quiet(32)) == [SpeechStopped(640 + 960 + 512)]  # 500 ms are over in this frame


def test_the_settings_are_the_sessions() -> None:
    turns = ServerVad(ScriptedVoice(), threshold=0.95, prefix_padding_ms=64, silence_duration_ms=96)
    assert turns.feed(loud(960)) == []
    assert turns.feed(frames(0.96, 320)) == [SpeechStarted(896)]
    assert turns.feed(frames(0.82, 320)) == []  # within the hysteresis of 0.15
    assert turns.feed(quiet(96)) == [SpeechStopped(960 + 320 + 320 + 96)]


def test_no_audio_belongs_to_two_utterances() -> None:
    turns = ServerVad(ScriptedVoice(), silence_duration_ms=96)
    first = turns.feed(np.concatenate([loud(320), quiet(96)]))
    assert first == [SpeechStarted(0), SpeechStopped(416)]
    assert turns.feed(np.concatenate([quiet(32), loud(320)])) == [SpeechStarted(416)]


def test_a_short_pause_ends_nothing() -> None:
    turns = ServerVad(ScriptedVoice())
    speech = np.concatenate([loud(320), quiet(480), loud(320), quiet(480), loud(32)])
    assert turns.feed(speech) == [SpeechStarted(0)]


def test_with_the_lowest_threshold_silence_still_ends_speech() -> None:
    turns = ServerVad(ScriptedVoice(), threshold=0.0)
    assert turns.feed(quiet(544)) == [SpeechStarted(0), SpeechStopped(544)]


def test_after_a_reset_nobody_speaks_and_the_clock_is_the_sessions() -> None:
    voice = ScriptedVoice()
    turns = ServerVad(voice)
    turns.feed(loud(320))
    turns.reset(5_000)
    assert voice.resets == 1
    assert turns.feed(quiet(640)) == []
    assert turns.feed(loud(32)) == [SpeechStarted(5_340)]
    turns.reset(6_000)
    assert turns.feed(loud(32)) == [SpeechStarted(6_000)]  # nothing from before the reset


@pytest.mark.parametrize(
    ("eagerness", "text", "pause_ms"),
    [
        ("high", "I am here.", 400),
        ("medium", "I am here.", 800),
        ("auto", "I am here.", 800),
        ("low", "I am here.", 1_200),
        ("high", "I am", 2_000),
        ("auto", "I am", 4_000),
        ("medium", "", 4_000),
        ("low", "I am...", 8_000),
    ],
)
def test_a_pause_may_be_shorter_after_a_sentence(eagerness: Eagerness, text: str, pause_ms: int) -> None:
    turns = SemanticVad(ScriptedVoice(), lambda: Heard(text, 60_000), eagerness)
    assert turns.feed(np.concatenate([loud(960), quiet(pause_ms - 32)])) == [SpeechStarted(0)]
    assert turns.feed(quiet(64)) != []


def test_text_of_less_than_was_said_shortens_nothing() -> None:
    heard = Heard("I am here.", 960)
    turns = SemanticVad(ScriptedVoice(), lambda: heard, "high")
    speech = [quiet(640), loud(640), quiet(480)]  # 940 ms from the utterance's start to the speech's end
    assert len(turns.feed(np.concatenate(speech))) == 2
    heard = Heard("I am here.", 920)
    turns.reset(0)
    assert turns.feed(np.concatenate(speech)) == [SpeechStarted(340)]


@pytest.mark.parametrize("text", ["Yes.", "Is it? ", "No!", "「はい。」", "“Yes.”", "हाँ।"])
def test_a_whole_sentence(text: str) -> None:
    assert is_whole(text)


@pytest.mark.parametrize("text", ["", "Yes", "Yes,", "Well...", "Well…", "I do -"])
def test_no_whole_sentence(text: str) -> None:
    assert not is_whole(text)


@pytest.fixture(scope="module")
def activity() -> VoiceActivity:
    return VoiceActivity()


@pytest.mark.parametrize("milliseconds", [7, 20, 100, 5_000])
def test_a_voice_is_heard_however_its_audio_is_cut(activity: VoiceActivity, milliseconds: int) -> None:
    """It speaks from 1 s on; the file has under 0.1 s of silence at either end."""
    said = recording("numbers.wav")
    silence = np.zeros(SAMPLE_RATE, np.float32)
    turns = ServerVad(activity.stream())
    assert fed(turns, np.concatenate([silence, said, silence]), milliseconds) == fed(
        ServerVad(activity.stream()), np.concatenate([silence, said, silence]), 1_000
    )
    turns.reset(0)
    started, stopped = fed(turns, np.concatenate([silence, said, silence]), milliseconds)
    assert started.at_ms == pytest.approx(700, abs=150)
    assert stopped.at_ms == pytest.approx(1_000 + len(said) / 16 + 500, abs=400)


def test_three_utterances_are_three_turns(activity: VoiceActivity) -> None:
    turns = ServerVad(activity.stream(), silence_duration_ms=200)
    silence = np.zeros(SAMPLE_RATE, np.float32)
    events = fed(turns, np.concatenate([silence, recording("three_utterances.wav"), silence]), 20)
    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped] * 3


def test_sessions_share_the_model_and_nothing_else(activity: VoiceActivity) -> None:
    said = np.concatenate([recording("numbers.wav"), np.zeros(SAMPLE_RATE, np.float32)])
    alone = fed(ServerVad(activity.stream()), said, 100)
    speaking, silent = ServerVad(activity.stream()), ServerVad(activity.stream())
    heard: Events = []
    for first in range(0, len(said), 1_600):
        heard += speaking.feed(said[first : first + 1_600])
        assert silent.feed(np.zeros(1_600, np.float32)) == []
    assert heard == alone != []


def fed(turns: ServerVad, samples: Samples, milliseconds: int) -> Events:
    """Everything that happens while samples come in pieces."""
    size = milliseconds * SAMPLE_RATE // 1_000
    return [
        event for first in range(0, len(samples), size) for event in turns.feed(samples[first : first + size])
    ]
