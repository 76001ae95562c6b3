"""The first window, so that no request has to wait for what is done only once."""

from time import monotonic

import numpy as np

from app.engines.interface import Engine, Window, WindowOptions
from app.waveform import SAMPLE_RATE


def warm_up(engine: Engine) -> float:
    """Run every path once: kernels are chosen and numba's functions compiled. The window's seconds."""
    recording = engine.open(np.zeros(SAMPLE_RATE, np.float32))
    window = Window(recording, 0, recording.frames)
    began = monotonic()
    engine.submit(window, WindowOptions(language="en")).result()
    seconds = monotonic() - began
    engine.align(window, engine.tokenizer("en", "transcribe").encode(" one two"), "en", "transcribe").result()
    return seconds
