"""The batching engine: windows of concurrent requests are decoded together."""

from functools import partial

import torch

from app.checkpoints import Checkpoint
from app.engines.batched.engine import BatchedEngine
from app.engines.batched.model import Model, load
from app.engines.engine_thread import EngineThread, use_threads
from app.engines.interface import EngineOptions
from app.engines.warm_up import warm_up
from app.errors import CheckpointError


def start(checkpoint: Checkpoint, device: str, options: EngineOptions) -> BatchedEngine:
    """Load a checkpoint on a device and decode a second of silence, so that the first request is not slow.

    Raises CheckpointError where the file is no Whisper checkpoint.
    """
    thread = EngineThread()
    where = torch.device(device)
    try:
        model = thread.submit(partial(_load, checkpoint, where, options)).result()
    except CheckpointError:
        thread.close()
        raise
    engine = BatchedEngine(model, thread, options.rows(device), options.on_step)
    engine.warm_up_seconds = warm_up(engine)
    # once more: numba's OpenMP threads, started by the first alignment, set the count to the cores
    thread.submit(partial(use_threads, options.threads)).result()
    return engine


def _load(checkpoint: Checkpoint, device: torch.device, options: EngineOptions) -> Model:
    use_threads(options.threads)
    return load(checkpoint, device, options.precision)
