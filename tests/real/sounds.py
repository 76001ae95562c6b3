"""Sounds in which nobody speaks, made by arithmetic: 16 kHz samples, the same every time."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.signal import chirp, lfilter, sawtooth

from app.waveform import SAMPLE_RATE

Sound = NDArray[np.float32]
Made = NDArray[np.float64]

SECONDS = 35
"""More than one window."""
LEVELS_DB = (-60, -40, -20, -6)
"""How loud the loudest sample is, of full scale."""

_CHORDS = ((57, 60, 64, 69), (53, 57, 60, 65), (48, 52, 55, 60), (55, 59, 62, 67))
"""As keys of MIDI."""


def _clock() -> Made:
    return np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE


def _hertz(key: int) -> float:
    return 440 * 2 ** ((key - 69) / 12)


def white_noise() -> Made:
    return np.random.default_rng(1).normal(size=SECONDS * SAMPLE_RATE)


def pink_noise() -> Made:
    """As much power in each octave."""
    spectrum = np.fft.rfft(white_noise())
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))))


def hum() -> Made:
    """A mains' 50 Hz and its overtones."""
    return sum(np.sin(2 * np.pi * 50 * n * _clock()) / n for n in range(1, 12))


def tone() -> Made:
    return np.sin(2 * np.pi * 440 * _clock())


def dial_tone() -> Made:
    return np.sin(2 * np.pi * 350 * _clock()) + np.sin(2 * np.pi * 440 * _clock())


def beeps() -> Made:
    """A second on, a second off."""
    return np.sin(2 * np.pi * 1_000 * _clock()) * (_clock() % 2 < 1)


def sweep() -> Made:
    return chirp(_clock(), 50, SECONDS, 7_500, method="logarithmic")


def _plucked(pitch: float) -> Made:
    """A quarter of a second of a string: overtones that die away, the higher ones sooner."""
    clock = np.arange(SAMPLE_RATE // 4) / SAMPLE_RATE
    return sum(np.sin(2 * np.pi * pitch * n * clock) * np.exp(-3 * n * clock) / n for n in range(1, 8))


def plucked_music() -> Made:
    """Four chords, up and down note by note."""
    bars = [_plucked(_hertz(key)) for chord in _CHORDS for key in (*chord, *chord[::-1])]
    return np.resize(np.concatenate(bars), SECONDS * SAMPLE_RATE)


def organ_music() -> Made:
    """Held chords of sawtooth waves, one each two seconds."""
    clock = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    bars = [sum(sawtooth(2 * np.pi * _hertz(key) * clock) for key in chord) for chord in _CHORDS]
    return np.resize(np.concatenate(bars), SECONDS * SAMPLE_RATE)


def drums() -> Made:
    """A falling tone and a burst of noise in turn, two a second."""
    clock = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    kick = np.sin(2 * np.pi * 50 * clock + 8 * np.exp(-20 * clock)) * np.exp(-8 * clock)
    snare = np.random.default_rng(2).normal(size=len(clock)) * np.exp(-15 * clock)
    return np.resize(np.concatenate([kick, snare]), SECONDS * SAMPLE_RATE)


def band() -> Made:
    """Strings, organ and drums at once, with a bass."""
    bass = lfilter([0.05], [1, -0.95], sawtooth(2 * np.pi * 55 * _clock()))
    return plucked_music() + 0.3 * organ_music() + 1.5 * drums() + bass


MADE: dict[str, Callable[[], Made]] = {
    "white noise": white_noise,
    "pink noise": pink_noise,
    "hum": hum,
    "tone": tone,
    "dial tone": dial_tone,
    "beeps": beeps,
    "sweep": sweep,
    "plucked music": plucked_music,
    "organ music": organ_music,
    "drums": drums,
    "band": band,
}


def sounds() -> Iterator[tuple[str, Sound]]:
    """Silence, then each sound at each level."""
    yield "silence", np.zeros(SECONDS * SAMPLE_RATE, np.float32)
    for name, make in MADE.items():
        made = make()
        for level in LEVELS_DB:
            sound = made / np.abs(made).max() * 10 ** (level / 20)
            yield f"{name} at {level} dB", sound.astype(np.float32)
