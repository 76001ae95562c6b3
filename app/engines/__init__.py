"""The engines by name. Each is imported only when it is started, because importing one imports torch."""

import gc
from importlib import import_module
from typing import TYPE_CHECKING

from app import memory
from app.checkpoints import Checkpoint
from app.engines.interface import EngineOptions, LiveEngine
from app.errors import StartError

if TYPE_CHECKING:
    from app.engines.engine_thread import EngineThread

ENGINES = {
    "batched": "app.engines.batched",
    "reference": "app.engines.reference",
}
"""Name -> the module whose `start(checkpoint, device, options)` loads and warms up an engine."""


def start(name: str, checkpoint: Checkpoint, device: str, options: EngineOptions) -> LiveEngine:
    """Load an engine's model on a torch device and warm it up.

    Raises StartError for an unknown name, CheckpointError for weights that can't be loaded.
    """
    if name not in ENGINES:
        raise StartError(f"WHISPER_ENGINE is '{name}'; it must be one of {', '.join(sorted(ENGINES))}.")
    engine: LiveEngine = import_module(ENGINES[name]).start(checkpoint, device, options)
    return engine


def new_thread() -> "EngineThread":
    """A thread that several engines can share (`EngineOptions.thread`). Whoever makes it must close it."""
    thread: EngineThread = import_module("app.engines.engine_thread").EngineThread()
    return thread


def give_back_memory() -> None:
    """Return to system and device what closed engines have held, if nobody refers to them any more."""
    gc.collect()
    import_module("app.engines.devices").empty_cache()
    memory.trim()
