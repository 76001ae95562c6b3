import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from app.waveform import SAMPLE_RATE, STEP, Samples
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits
from app.waveform.voice_activity import PIECE_FRAMES, VoiceActivity
from tests.real.sounds import plucked_music

FLOOR = 0.25


@pytest.fixture(scope="module")
def vad() -> VoiceActivity:
    return VoiceActivity()


def samples_of(path: Path) -> Samples:
    with path.open("rb") as file:
        return read_audio(file, AudioLimits()) * STEP


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def noise(seconds: float) -> Samples:
    return (np.random.default_rng(0).standard_normal(int(seconds * SAMPLE_RATE)) * 1e-3).astype(np.float32)


def tone(seconds: float) -> Samples:
    radians = 2 * np.pi * 440 / SAMPLE_RATE * np.arange(int(seconds * SAMPLE_RATE))
    return (0.3 * np.sin(radians)).astype(np.float32)


@pytest.mark.parametrize("sound", [silence, noise, tone])
@pytest.mark.parametrize("seconds", [0.1, 1, 30])
def test_what_nobody_says(vad, sound, seconds):
    assert not vad.has_speech(sound(seconds), FLOOR)


def test_a_sentence_and_a_single_word(vad, speech, short_word):
    assert vad.has_speech(samples_of(speech), FLOOR)
    assert vad.has_speech(samples_of(short_word), FLOOR)


@pytest.mark.parametrize("quieter_db", [20, 40, 60])
def test_speech_stays_speech_when_it_is_quiet(vad, speech, quieter_db):
    assert vad.has_speech(samples_of(speech) * np.float32(10 ** (-quieter_db / 20)), FLOOR)


@pytest.mark.parametrize("level_db", [-60, -40, -20, -12, -6])
def test_plucked_strings_are_no_speech(vad, level_db):
    music = plucked_music()[: 10 * SAMPLE_RATE]
    samples = music / np.abs(music).max() * 10 ** (level_db / 20)
    assert not vad.has_speech(samples.astype(np.float32), FLOOR)


def test_a_word_at_the_end_of_a_long_silence(vad, short_word):
    assert vad.has_speech(np.concatenate([silence(28), samples_of(short_word)]), FLOOR)


def test_a_floor_of_zero_is_always_reached(vad):
    assert vad.has_speech(silence(1), 0.0)
    assert vad.has_speech(silence(0), 0.0)


def test_nothing_is_heard_in_no_samples(vad):
    assert not vad.has_speech(silence(0), FLOOR)


def test_pieces_give_the_probabilities_of_the_whole(vad, speech):
    from silero_vad import load_silero_vad

    samples = np.concatenate([samples_of(speech), noise(1.01)])
    whole = load_silero_vad(sequence=True).audio_forward(samples)
    pieces = np.concatenate(list(vad._probabilities(samples))).reshape(-1)
    np.testing.assert_allclose(pieces, whole, atol=1e-6)


def test_the_average_of_eight_frames_counts_across_pieces(vad, monkeypatch):
    probabilities = np.zeros(2 * PIECE_FRAMES, np.float32)
    probabilities[PIECE_FRAMES - 3 : PIECE_FRAMES + 5] = 0.8
    probabilities[5] = 1.0
    pieces = np.split(probabilities, 2)
    monkeypatch.setattr(vad, "_probabilities", lambda samples, gain: iter(pieces))
    assert vad.has_speech(silence(1), 0.79)
    assert not vad.has_speech(silence(1), 0.81)


def test_fewer_than_eight_frames_are_averaged_alone(vad, short_word):
    samples = samples_of(short_word)
    start = int(np.argmax(np.abs(samples) > 0.01))
    assert vad.has_speech(samples[start : start + 2_400], FLOOR)


def test_16_bits_give_the_very_same_probabilities(vad, speech):
    with speech.open("rb") as file:
        samples = read_audio(file, AudioLimits())
    assert samples.dtype == np.int16
    heard, expected = (np.concatenate(list(vad._probabilities(given))) for given in (samples, samples * STEP))
    np.testing.assert_array_equal(heard, expected)
    assert vad.find_speech(samples, 0.5, 0.2, 0.3) == vad.find_speech(samples * STEP, 0.5, 0.2, 0.3) != []


class CountingSession:
    def __init__(self, session) -> None:
        self.runs = 0
        self._session = session

    def run(self, *arguments):
        self.runs += 1
        return self._session.run(*arguments)


def test_it_stops_at_the_first_speech(speech):
    vad = VoiceActivity()
    vad._session = counting = CountingSession(vad._session)
    assert vad.has_speech(np.concatenate([samples_of(speech), silence(25)]), FLOOR)
    assert counting.runs == 1
    assert not vad.has_speech(silence(30), FLOOR)
    assert counting.runs > 20


def test_threads_may_share_it(vad, speech):
    sounds = [samples_of(speech), noise(2), silence(2), tone(2)] * 8
    with ThreadPoolExecutor(8) as pool:
        heard = list(pool.map(lambda samples: vad.has_speech(samples, FLOOR), sounds))
    assert heard == [True, False, False, False] * 8


def test_the_module_itself_loads_no_torch():
    check = "import sys, app.waveform.voice_activity; sys.exit('silero_vad' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_finds_where_somebody_speaks(vad: VoiceActivity, speech: Path) -> None:
    said = samples_of(speech)
    samples = np.concatenate([silence(1), said, silence(2), said, silence(1)])
    spans = vad.find_speech(samples, 0.5, 0.5, 0.1)
    seconds = len(said) / SAMPLE_RATE
    assert len(spans) >= 2
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    assert spans[0][0] == pytest.approx(1, abs=0.5)
    assert spans[-1][1] == pytest.approx(3 + 2 * seconds, abs=0.5)
    pause = (1 + seconds + 0.5, 3 + seconds - 0.5)
    assert not any(start < pause[1] and end > pause[0] for start, end in spans)


def test_finds_nobody_in_silence(vad: VoiceActivity) -> None:
    assert vad.find_speech(silence(3), 0.5, 0.2, 0.3) == []
