"""Recordings of speech with their text: of people, from a folder; and the clips of pytest-audioeval.

The clips are 27, short, in nine languages. Most hold exact zeros, so they are probably synthesized: a
regression set, not human speech.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipFile

from app.waveform import STEP, Samples
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits

SAMPLES_VARIABLE = "SPEECH_SAMPLES"
"""The environment variable that names the folder."""
CLIPS = "pytest-audioeval"


@dataclass(frozen=True)
class Recording:
    """16 kHz samples `[n]`, what is said in them, and in which language (code)."""

    name: str
    samples: Samples
    text: str
    language: str


def human(folder: Path) -> tuple[Recording, ...]:
    """English speech: NAME.wav or NAME.flac, each with NAME.txt. Raises FileNotFoundError without any."""
    texts = sorted(folder.glob("*.txt"))
    if not texts:
        raise FileNotFoundError(f"There is no NAME.txt in {folder}, which {SAMPLES_VARIABLE} names.")
    return tuple(_beside(text) for text in texts)


def clips(wheel: Path) -> tuple[Recording, ...]:
    """The clips in the wheel, read where they lie."""
    with ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".wav"))
        return tuple(_clip(archive, Path(name)) for name in names)


def _beside(text: Path) -> Recording:
    files = [text.with_suffix(end) for end in (".wav", ".flac") if text.with_suffix(end).exists()]
    if not files:
        raise FileNotFoundError(f"There is neither a .wav nor a .flac beside {text}.")
    with files[0].open("rb") as file:
        return Recording(text.stem, _samples(file), text.read_text(encoding="utf-8").strip(), "en")


def _clip(archive: ZipFile, name: Path) -> Recording:
    language, text = name.parent.name, archive.read(str(name.with_suffix(".txt"))).decode()
    samples = _samples(io.BytesIO(archive.read(str(name))))
    return Recording(f"{language}/{name.stem}", samples, text.strip(), language)


def _samples(file: BinaryIO) -> Samples:
    return read_audio(file, AudioLimits()) * STEP
