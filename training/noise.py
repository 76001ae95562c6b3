"""Sounds that are not speech: coloured noise, hum, swelling noise, clicks, tones and chords."""

from collections.abc import Iterator

import numpy as np

from training.mel import SAMPLE_RATE, log_mel

_SECONDS = 45
_COUNT = SAMPLE_RATE * _SECONDS


def noises(seed: int = 5) -> list[np.ndarray]:
    """Twelve sounds of 45 s, each as mel power (not its logarithm), [4500, 80] of float32."""
    return [
        (10 ** log_mel(sound.astype(np.float32))).astype(np.float32)
        for sound in _sounds(np.random.default_rng(seed))
    ]


def _sounds(rng: np.random.Generator) -> Iterator[np.ndarray]:
    for slope in (0, 0.5, 1, 1.5, 2):
        yield _coloured(slope, rng)
    for base_hertz in (50, 60, 120):
        yield _hum(base_hertz, rng)
    yield _swelling(rng)
    yield _beeps_and_clicks(rng)
    for floor in (1e-3, 0.0):
        yield _chords(floor, rng)


def _coloured(slope: float, rng: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal(_COUNT))
    frequency = np.maximum(np.arange(len(spectrum)), 200) / len(spectrum)
    noise = np.fft.irfft(spectrum * frequency ** (-slope / 2), _COUNT)
    return 0.1 * noise / noise.std()


def _hum(base_hertz: int, rng: np.random.Generator) -> np.ndarray:
    phase = 2 * np.pi * base_hertz * np.arange(_COUNT) / SAMPLE_RATE
    harmonics = sum(np.sin(phase * order + order) / order for order in range(1, 12))
    return 0.05 * harmonics + 0.01 * rng.standard_normal(_COUNT)


def _swelling(rng: np.random.Generator) -> np.ndarray:
    envelope = np.abs(np.sin(2 * np.pi * 0.3 * np.arange(_COUNT) / SAMPLE_RATE)) * 0.5 + 0.1
    return 0.1 * envelope * rng.standard_normal(_COUNT)


def _beeps_and_clicks(rng: np.random.Generator) -> np.ndarray:
    sound = 0.002 * rng.standard_normal(_COUNT)
    for _ in range(60):
        start, count = rng.integers(0, _COUNT - 8000), rng.integers(400, 8000)
        tone = np.sin(2 * np.pi * rng.uniform(200, 4000) * np.arange(count) / SAMPLE_RATE)
        sound[start : start + count] += 0.2 * tone * np.hanning(count)
    for _ in range(80):
        start = rng.integers(0, _COUNT - 200)
        sound[start : start + 80] += 0.5 * rng.standard_normal(80) * np.exp(-np.arange(80) / 20)
    return sound


def _chords(floor: float, rng: np.random.Generator) -> np.ndarray:
    sound = floor * rng.standard_normal(_COUNT)
    start = 0
    while start < _COUNT - SAMPLE_RATE:
        count = min(int(rng.uniform(0.4, 6) * SAMPLE_RATE), _COUNT - start)
        sound[start : start + count] += _chord(count, rng)
        start += count + int(rng.choice([0, 0.5]) * SAMPLE_RATE * rng.random())
    return sound


def _chord(count: int, rng: np.random.Generator) -> np.ndarray:
    phase = 2 * np.pi * rng.uniform(80, 3000) * np.arange(count) / SAMPLE_RATE
    volume = rng.uniform(0.02, 0.3)
    orders = rng.choice([1, 2, 3, 4], rng.integers(1, 4), replace=False)
    return volume * sum(np.sin(phase * order) / order**2 for order in orders)
