"""Recordings are made here, by ffmpeg and espeak-ng; without these programs the tests fail."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Ffmpeg = Callable[..., bytes]


@pytest.fixture(scope="session")
def ffmpeg() -> Ffmpeg:
    """Run ffmpeg with these arguments and return what it writes to stdout."""

    def run(*arguments: str | Path) -> bytes:
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    return run


def spoken(text: str, path: Path) -> Path:
    subprocess.run(["espeak-ng", "-w", path, text], check=True)
    return path


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence of about 3 s, 22.05 kHz mono."""
    return spoken(
        "The quick brown fox jumps over the lazy dog. Call me back at nine.",
        tmp_path_factory.mktemp("speech") / "speech.wav",
    )


@pytest.fixture(scope="session")
def short_word(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spoken("yes", tmp_path_factory.mktemp("word") / "yes.wav")
