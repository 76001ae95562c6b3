"""Turns and the audio that is theirs, with a detector that finds what the test says."""

import numpy as np
import pytest

from app.realtime.formats import FORMATS
from app.realtime.input_audio import LONGEST_TURN_MS, InputAudio, TurnEnded, TurnStarted
from app.realtime.interface import SpeechStarted, SpeechStopped
from app.waveform import Samples

TELEPHONE, PCM = FORMATS["audio/pcmu"], FORMATS["audio/pcm"]
SAMPLES_PER_MS = 16


class ScriptedDetector:
    """Reports each event once its time has come."""

    def __init__(self, *script: SpeechStarted | SpeechStopped, late_ms: int = 100) -> None:
        self.script = list(script)
        self.resets: list[int] = []
        self.times = 0
        self._late_ms = late_ms
        self._samples = 0

    def feed(self, samples: Samples) -> list[SpeechStarted | SpeechStopped]:
        assert samples.dtype == np.float32
        self.times += 1
        self._samples += len(samples)
        now_ms = self._samples / SAMPLES_PER_MS
        due = [event for event in self.script if event.at_ms + self._late_ms <= now_ms]
        self.script = self.script[len(due) :]
        return due

    def reset(self, at_ms: int) -> None:
        self.resets.append(at_ms)


def numbered(milliseconds: int) -> bytes:
    """Telephone audio in which each millisecond has its number."""
    return b"".join(bytes([number % 251]) * 8 for number in range(milliseconds))


def so_far(audio: InputAudio) -> Samples:
    """All of the utterance that is under way."""
    return audio.so_far(0, 600_000 * SAMPLES_PER_MS)


def test_a_turn_has_the_audio_between_its_times() -> None:
    audio = InputAudio(TELEPHONE, ScriptedDetector(SpeechStarted(400), SpeechStopped(1_500)))
    sound = numbered(3_000)
    found = [event for at in range(0, len(sound), 800) for event in audio.append(sound[at : at + 800])]
    assert found == [TurnStarted(400), TurnEnded(1_500, sound[8 * 400 : 8 * 1_500])]
    assert not audio.in_utterance
    assert (audio.now_ms, audio.milliseconds) == (3_000, 1_500)


def test_a_long_piece_of_audio_is_looked_at_in_steps() -> None:
    """So that what comes before a turn, and is not kept, can't be the beginning of one in the same piece."""
    script = (SpeechStarted(20_000), SpeechStopped(21_000), SpeechStarted(21_000), SpeechStopped(22_500))
    audio = InputAudio(TELEPHONE, ScriptedDetector(*script))
    sound = numbered(30_000)
    ended = [event for event in audio.append(sound) if isinstance(event, TurnEnded)]
    assert [event.audio for event in ended] == [
        sound[8 * 20_000 : 8 * 21_000],
        sound[8 * 21_000 : 8 * 22_500],
    ]


def test_small_pieces_are_looked_at_together() -> None:
    """Ten times a second, though they come fifty times."""
    detector = ScriptedDetector()
    audio = InputAudio(PCM, detector)
    for _ in range(500):
        assert list(audio.append(bytes(48 * 20))) == []
    assert detector.times <= 100
    assert audio.now_ms == 10_000


def test_the_silence_before_turns_were_switched_off_is_dropped() -> None:
    audio = InputAudio(TELEPHONE, ScriptedDetector())
    list(audio.append(numbered(3_050)))
    audio.configure(TELEPHONE, None)
    assert (audio.milliseconds, audio.in_utterance) == (0, False)
    list(audio.append(numbered(200)))
    assert (audio.take(), audio.now_ms) == (numbered(200), 3_250)


def test_a_turn_goes_on_when_turns_are_switched_off() -> None:
    audio = InputAudio(TELEPHONE, ScriptedDetector(SpeechStarted(1_000)))
    sound = numbered(3_050)
    list(audio.append(sound))
    audio.configure(TELEPHONE, None)
    assert audio.in_utterance
    assert len(so_far(audio)) == pytest.approx(2_050 * SAMPLES_PER_MS, abs=40)
    assert audio.take() == sound[8 * 1_000 :]


def test_silence_is_not_kept() -> None:
    audio = InputAudio(TELEPHONE, ScriptedDetector())
    assert list(audio.append(bytes(8 * 120_000))) == []
    assert audio.milliseconds <= 12_000
    assert len(audio._samples) <= 2 * 14_000 * SAMPLES_PER_MS


def test_a_turn_without_an_end_gets_one() -> None:
    detector = ScriptedDetector(SpeechStarted(0))
    audio = InputAudio(TELEPHONE, detector)
    events = list(audio.append(bytes(8 * (LONGEST_TURN_MS + 5_000))))
    assert isinstance(events[1], TurnEnded)
    assert (events[1].at_ms, len(events[1].audio)) == (LONGEST_TURN_MS, 8 * LONGEST_TURN_MS)
    assert detector.resets == [LONGEST_TURN_MS]


def test_without_a_detector_all_is_kept_until_it_is_taken() -> None:
    audio = InputAudio(PCM, None)
    assert not audio.in_utterance
    assert list(audio.append(bytes(48 * 20_000))) == []
    assert audio.in_utterance
    assert len(so_far(audio)) == pytest.approx(20_000 * SAMPLES_PER_MS, abs=40)
    assert audio.take() == bytes(48 * 20_000)
    assert (audio.milliseconds, len(so_far(audio)), audio.now_ms) == (0, 0, 20_000)


def test_the_samples_so_far_are_those_of_the_turn() -> None:
    script = (SpeechStarted(500), SpeechStopped(1_200), SpeechStarted(2_500))
    audio = InputAudio(TELEPHONE, ScriptedDetector(*script))
    sound = numbered(3_000)
    for at in range(0, len(sound), 800):
        list(audio.append(sound[at : at + 800]))
    whole = InputAudio(TELEPHONE, None)
    list(whole.append(sound))
    assert len(so_far(audio)) == pytest.approx(500 * SAMPLES_PER_MS, abs=40)
    assert np.array_equal(so_far(audio), so_far(whole)[2_500 * SAMPLES_PER_MS :])


@pytest.mark.parametrize("turn_ms", [None, 1_300])
def test_no_other_samples_are_copied_than_those_asked_for(turn_ms: int | None) -> None:
    detector = ScriptedDetector(SpeechStarted(turn_ms)) if turn_ms else None
    audio = InputAudio(TELEPHONE, detector)
    list(audio.append(numbered(9_050)))
    whole = so_far(audio)
    assert np.array_equal(audio.so_far(5_000, 200), whole[5_000:5_200])
    assert np.array_equal(audio.so_far(len(whole) - 70, 200), whole[-70:])
    assert len(audio.so_far(len(whole), 200)) == 0


def test_a_clear_ends_the_turn() -> None:
    detector = ScriptedDetector(SpeechStarted(100))
    audio = InputAudio(TELEPHONE, detector)
    list(audio.append(numbered(900)))
    assert audio.in_utterance
    audio.clear()
    assert not audio.in_utterance
    assert detector.resets == [900]
    assert audio.milliseconds == 0


def test_another_format_is_heard_from_its_first_sample_on() -> None:
    audio = InputAudio(TELEPHONE, None)
    list(audio.append(numbered(900)))
    audio.take()
    audio.configure(PCM, None)
    list(audio.append(bytes(48 * 500)))
    assert (audio.now_ms, audio.milliseconds) == (1_400, 500)
    assert len(so_far(audio)) == pytest.approx(500 * SAMPLES_PER_MS, abs=40)


def test_another_detector_begins_at_the_present() -> None:
    audio = InputAudio(TELEPHONE, None)
    list(audio.append(numbered(900)))
    detector = ScriptedDetector()
    audio.configure(TELEPHONE, detector)
    assert detector.resets == [900]
    assert not audio.in_utterance
