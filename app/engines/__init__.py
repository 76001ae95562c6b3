"""The engines by name. Each is imported only when it is started, since importing one imports torch."""

from importlib import import_module

from app.checkpoints import Checkpoint
from app.engines.interface import Engine
from app.errors import StartError

ENGINES = {
    "reference": "app.engines.reference",
}
"""Name -> the module whose `start(checkpoint, device, threads)` loads and warms up an engine."""


def start(name: str, checkpoint: Checkpoint, device: str, threads: int) -> Engine:
    """Load an engine's model on a torch device and warm it up; `threads` 0 takes one per core.

    Raises StartError for an unknown name, CheckpointError for weights that can't be loaded.
    """
    if name not in ENGINES:
        raise StartError(f"WHISPER_ENGINE is '{name}'; it must be one of {', '.join(sorted(ENGINES))}.")
    engine: Engine = import_module(ENGINES[name]).start(checkpoint, device, threads)
    return engine
