"""Starting an engine: its thread, its weights, and a first window to warm up."""

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TypeVar

import numpy as np

from app import memory
from app.engines.engine_thread import EngineThread, use_threads
from app.engines.interface import Engine, LiveEngine, Window, WindowOptions
from app.errors import CheckpointError
from app.waveform import SAMPLE_RATE

ModelT = TypeVar("ModelT")
EngineT = TypeVar("EngineT", bound=LiveEngine)


def start_engine(
    load: Callable[[], ModelT], build: Callable[[ModelT, EngineThread], EngineT], threads: int
) -> EngineT:
    """Load a model in a new engine thread, and warm up the engine that `build` makes of both.

    `threads` is torch's number of threads, 0 for one per core. Raises CheckpointError where `load` does.
    """
    thread = EngineThread()
    set_threads = partial(use_threads, threads)
    try:
        thread.submit(set_threads).result()
        model = thread.submit(load).result()
    except CheckpointError:
        thread.close()
        raise
    engine = build(model, thread)
    engine.warm_up_seconds = _warm_up(engine)
    # imports, and numba's compiler, have touched far more of their libraries than serving ever does
    memory.drop_file_pages()
    # again: numba's OpenMP threads, started by the first alignment, set the count to that of the cores
    thread.submit(set_threads).result()
    return engine


def _warm_up(engine: Engine) -> float:
    """Decode and align once, so that kernels are chosen and functions compiled; then time one window.

    Returns its seconds.
    """
    recording = engine.open(np.zeros(SAMPLE_RATE, np.float32))
    window = Window(recording, 0, recording.frames)
    engine.submit(window, WindowOptions(language="en")).result()
    engine.align(window, engine.tokenizer("en", "transcribe").encode(" one two"), "en", "transcribe").result()
    began = monotonic()
    engine.submit(Window(recording, 0, recording.frames), WindowOptions(language="en")).result()
    return monotonic() - began
