"""Speech from the flite program, with the times of its words."""

import subprocess
import tempfile
import wave
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import resample_poly

from training.mel import SAMPLE_RATE

PAUSE = "pau"
PUNCTUATION = ".,?"


class Phone(NamedTuple):
    """A phone and its span in seconds."""

    name: str
    start: float
    end: float


class WordTime(NamedTuple):
    """A word with its punctuation and its span in seconds."""

    word: str
    start: float
    end: float


def speak(text: str, voice: str, stretch: float = 1.0) -> tuple[np.ndarray, list[Phone]]:
    """Synthesize one sentence, `stretch` times as slow as usual. Returns 16 kHz samples and phones."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch}", "-psdur"]
        command += ["-t", text, "-o", str(path)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return read_wave(path), _phones(told)


def word_times(text: str, phones: list[Phone]) -> list[WordTime] | None:
    """Lay the words over the phones, each over as many as it has when spoken alone.

    flite does not tell words apart. None where the counts do not add up (a word sounds different in a
    sentence).
    """
    spoken = [phone for phone in phones if phone.name != PAUSE]
    counts = [_phone_count(word.strip(PUNCTUATION)) for word in text.split()]
    if sum(counts) != len(spoken):
        return None
    times = []
    for word, count in zip(text.split(), counts, strict=True):
        own, spoken = spoken[:count], spoken[count:]
        times.append(WordTime(word, own[0].start, own[-1].end))
    return times


def read_wave(path: Path) -> np.ndarray:
    """A mono 16-bit wave file as 16 kHz float32 samples."""
    with wave.open(str(path)) as reader:
        rate = reader.getframerate()
        samples = np.frombuffer(reader.readframes(reader.getnframes()), np.int16).astype(np.float32) / 32768
    return samples if rate == SAMPLE_RATE else resample_poly(samples, SAMPLE_RATE, rate).astype(np.float32)


@cache
def _phone_count(word: str) -> int:
    _, phones = speak(word, "kal")
    return sum(phone.name != PAUSE for phone in phones)


def _phones(told: str) -> list[Phone]:
    pairs = [item.rsplit(":", 1) for item in told.split()]
    ends = [float(end) for _, end in pairs]
    return [Phone(name, start, end) for (name, _), start, end in zip(pairs, [0.0, *ends], ends, strict=False)]
