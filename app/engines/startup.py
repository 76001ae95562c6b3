"""Starting an engine: its thread, its weights, and a first window to warm up."""

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TypeVar

import numpy as np

from app import memory
from app.engines.engine_thread import CallQueue, EngineLane, EngineThread, use_threads
from app.engines.interface import Engine, LiveEngine, Window, WindowOptions
from app.waveform import SAMPLE_RATE

ModelT = TypeVar("ModelT")
EngineT = TypeVar("EngineT", bound=LiveEngine)


def start_engine(
    load: Callable[[], ModelT],
    build: Callable[[ModelT, CallQueue], EngineT],
    threads: int,
    shared: EngineThread | None = None,
    *,
    beside: bool = False,
) -> EngineT:
    """Load a model in a new engine thread, and warm up the engine that `build` makes of both.

    `threads` is torch's number of threads, 0 for one per core. With a `shared` thread the engine works in
    that, and leaves it as it is. `beside` others that work there, the model is loaded in the calling thread,
    so that they go on meanwhile. Whatever `load` or the engine raises is raised here, and nothing of the
    engine stays.
    """
    queue: CallQueue = EngineLane(shared) if shared else EngineThread()
    set_threads = partial(use_threads, threads)
    try:
        queue.submit(set_threads).result()
        model = _loaded_beside(load) if beside else queue.submit(load).result()
        engine = build(model, queue)
        engine.warm_up_seconds = _warm_up(engine)
        if not beside:  # others would have to read their libraries again
            # imports, and numba's compiler, have touched far more of their libraries than serving ever does
            memory.drop_file_pages()
        # again: numba's OpenMP threads, started by the first alignment, set the count to that of the cores
        queue.submit(set_threads).result()
    except Exception:
        queue.close()
        raise
    return engine


def _loaded_beside(load: Callable[[], ModelT]) -> ModelT:
    """What `load` gives, with one of torch's threads, because the engines' thread uses all cores."""
    use_threads(1)
    return load()


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
