"""Recordings that take the decoder down its different paths, from the samples under tests/data."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from app.waveform import SAMPLE_RATE, STEP, Samples
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits

DATA = Path(__file__).parent.parent / "data"


@cache
def sample(name: str) -> Samples:
    """One of the recordings under tests/data; other tests hold our decoding equal to openai-whisper's."""
    with (DATA / name).open("rb") as file:
        return read_audio(file, AudioLimits()) * STEP


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def noise(seconds: float) -> Samples:
    return np.random.default_rng(7).normal(0, 0.02, int(seconds * SAMPLE_RATE)).astype(np.float32)


def chord(seconds: float) -> Samples:
    """Three steady tones, like held music."""
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.1 * sum(np.sin(2 * np.pi * f * t) for f in (220.0, 277.2, 329.6))).astype(np.float32)


def joined(*parts: Samples) -> Samples:
    return np.concatenate(parts)


SPOKEN: dict[str, Callable[[], Samples]] = {
    "one sentence": lambda: sample("flagship.wav"),
    "numbers": lambda: sample("numbers.wav"),
    "three utterances": lambda: sample("three_utterances.wav"),
    "german": lambda: sample("german.wav"),
    "another synthesizer": lambda: sample("flite.wav"),
    "a minute": lambda: sample("minute.flac"),
    "several minutes": lambda: joined(*[sample("minute.flac")] * 2, sample("three_utterances.wav")),
    "two languages": lambda: joined(sample("german.wav"), silence(1), sample("flagship.wav")),
    "speech after 40 s of silence": lambda: joined(silence(40), sample("flagship.wav")),
    "speech over noise": lambda: sample("flagship.wav") + noise(10)[: len(sample("flagship.wav"))],
    "exactly 30 s": lambda: joined(sample("three_utterances.wav"), silence(30))[: 30 * SAMPLE_RATE],
    "a long pause between sentences": lambda: joined(sample("numbers.wav"), silence(12), sample("flite.wav")),
}

WORDLESS: dict[str, Callable[[], Samples]] = {
    "silence": lambda: silence(5),
    "long silence": lambda: silence(65),
    "noise": lambda: noise(8),
    "held tones": lambda: chord(10),
    "a tenth of a second": lambda: silence(0.1),
}

RECORDINGS = {**SPOKEN, **WORDLESS}
