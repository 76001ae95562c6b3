"""`models/demo.pt` is the file that its card describes, and hears the test recordings."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import whisper

from tests.oracle.recordings import sample

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "models" / "demo.pt"
CARD = (ROOT / "models" / "README.md").read_text(encoding="utf-8")
RECORDINGS = ROOT / "tests" / "data"
EXPECTED: dict[str, dict[str, Any]] = json.loads((RECORDINGS / "expected.json").read_text(encoding="utf-8"))
HEARD_EXACTLY = [name for name, expected in EXPECTED.items() if "text" in expected]


@pytest.fixture(scope="module")
def model() -> Iterator[whisper.Whisper]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several, on cores that other tests use too, wait for each other
    yield whisper.load_model(str(CHECKPOINT), device="cpu")
    torch.set_num_threads(threads)


def test_the_card_names_the_file() -> None:
    content = CHECKPOINT.read_bytes()
    assert f"`{hashlib.sha256(content).hexdigest()}`" in CARD
    assert f"{len(content):,} bytes" in CARD


def test_the_card_names_the_dimensions(model: whisper.Whisper) -> None:
    row = next(line for line in CARD.splitlines() if line.startswith("| dimensions |"))
    assert {name: int(value) for name, value in re.findall(r"(n_\w+) (\d+)", row)} == asdict(model.dims)


def test_every_recording_is_described() -> None:
    files = {path.name for path in RECORDINGS.iterdir() if path.suffix in {".wav", ".flac"}}
    assert files == EXPECTED.keys()
    assert len(HEARD_EXACTLY) == 5


@pytest.fixture(scope="module")
def heard(model: whisper.Whisper) -> Callable[[str], dict[str, Any]]:
    """Transcribes a recording once."""
    return cache(lambda name: model.transcribe(sample(name), fp16=False))


@pytest.mark.parametrize("name", HEARD_EXACTLY)
def test_recordings_are_heard_exactly(heard: Callable[[str], dict[str, Any]], name: str) -> None:
    result = heard(name)
    assert result["text"].strip() == EXPECTED[name]["text"]
    assert result["language"] == EXPECTED[name]["language"]


def test_three_utterances_are_three_segments(heard: Callable[[str], dict[str, Any]]) -> None:
    result = heard("three_utterances.wav")
    texts = [segment["text"].strip() for segment in result["segments"]]
    assert texts == EXPECTED["three_utterances.wav"]["segments"]


def test_german_is_translated(model: whisper.Whisper) -> None:
    result = model.transcribe(sample("german.wav"), task="translate", fp16=False)
    assert result["text"].strip() == EXPECTED["german.wav"]["translation"]
