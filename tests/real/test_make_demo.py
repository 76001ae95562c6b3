"""`make demo MODEL=...`, with this Python's packages instead of a .venv of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT, environment, free_port
from tests.real import speech

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]


def make_demo(model: str, folder: Path) -> list[str]:
    (folder / ".installed").touch()
    return ["make", "demo", f"MODEL={model}", f"VENV={folder}", f"BIN={Path(sys.executable).parent}"]


@contextmanager
def started(command: list[str], log: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """make and all that it starts, which end together."""
    settings = environment(PORT=str(port), WHISPER_MODEL_DIR=str(speech.folder()))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=settings, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def wait_for(text: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def test_it_serves_a_real_model(tmp_path: Path) -> None:
    folder, port, log = speech.weights("tiny.en"), free_port(), tmp_path / "make.log"
    said = next(clip for clip in speech.clips() if clip.name == "en/quick_brown_fox")
    with started(make_demo("tiny.en", tmp_path), log, port) as process:
        wait_for("Serving ", log, process)
        sound = speech.as_file(said)
        answer = requests.post(
            f"http://127.0.0.1:{port}/v1/audio/transcriptions",
            data={"model": "whisper-1"},
            files={"file": ("fox.wav", sound)},
            timeout=PATIENCE_SECONDS,
        )
    assert f"{folder} holds tiny.en, every file's sha256 is right." in log.read_text()
    assert re.findall(r"\w+", answer.json()["text"].lower()) == re.findall(r"\w+", said.text.lower())
    assert "x-model-notice" not in answer.headers


def test_a_model_that_no_package_holds(tmp_path: Path) -> None:
    found = subprocess.run(
        make_demo("turbo", tmp_path), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert "'tiny.en', 'base'" in found.stderr
    assert "Listening" not in found.stderr
