from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import whisper

from app import engines
from app.checkpoints import resolve
from app.engines.interface import Engine, EngineOptions
from app.settings import Settings

DEMO = Path(__file__).parents[2] / "models" / "demo.pt"


@pytest.fixture(scope="session")
def oracle() -> Any:
    """openai-whisper's own model with the demo weights."""
    return whisper.load_model(str(DEMO), device="cpu")


@pytest.fixture(scope="session", params=["reference", "batched"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine with the demo weights."""
    started = engines.start(request.param, resolve(Settings(model="demo")), "cpu", EngineOptions(threads=1))
    yield started
    started.close()
