"""The batching engine: windows of concurrent requests are decoded together."""

from functools import partial

import torch

from app.checkpoints import Checkpoint
from app.engines.batched.engine import BatchedEngine
from app.engines.batched.model import Model, load
from app.engines.engine_thread import CallQueue
from app.engines.interface import EngineOptions
from app.engines.startup import start_engine


def start(checkpoint: Checkpoint, device: str, options: EngineOptions) -> BatchedEngine:
    """Load a checkpoint on a torch device and warm up.

    Raises CheckpointError where the file is no Whisper checkpoint.
    """

    def build(model: Model, thread: CallQueue) -> BatchedEngine:
        return BatchedEngine(model, thread, options.rows(device), options.on_step)

    load_model = partial(load, checkpoint, torch.device(device), options.precision)
    return start_engine(load_model, build, options.threads, options.thread, beside=options.beside)
