"""Real weights on each side, loaded once."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from app import engines
from app.checkpoints import resolve
from app.engines.interface import Engine, EngineOptions
from app.engines.whisper_checkpoint import load_whisper
from app.settings import Settings
from app.waveform.voice_activity import VoiceActivity
from tests.real import speech


@dataclass(frozen=True)
class Pair:
    """openai-whisper's own model, and the batched engine, with the same weights."""

    model: Any
    engine: Engine


class Pairs(dict[str, Pair]):
    """By openai-whisper's name; loaded when asked for."""

    def __missing__(self, name: str) -> Pair:
        checkpoint = resolve(Settings(model=str(speech.weights(name))))
        options = EngineOptions(threads=torch.get_num_threads(), batch=8)
        engine = engines.start("batched", checkpoint, "cpu", options)
        self[name] = Pair(load_whisper(checkpoint, "cpu"), engine)
        return self[name]


@pytest.fixture(scope="session")
def pairs() -> Iterator[Pairs]:
    started = Pairs()
    yield started
    for pair in started.values():
        pair.engine.close()


@pytest.fixture(scope="session")
def voice_activity() -> VoiceActivity:
    return VoiceActivity()


@pytest.fixture(scope="session")
def piper_voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speech.voice(tmp_path_factory.mktemp("voice"))


def pytest_report_header() -> str:
    people = [recording.name for recording in speech.human()]
    told = f"{len(people)} recordings of people ({', '.join(people)})" if people else "no human speech"
    return f"speech: {told}; the clips of {speech.CLIPS}, probably synthesized"
