"""The first window, so that no request has to wait for what is done only once."""

from time import monotonic

import numpy as np

from app.engines.interface import Engine, Window, WindowOptions
from app.waveform import SAMPLE_RATE


def warm_up(engine: Engine) -> float:
    """Run every path once, where kernels are chosen and functions compiled; then a window's seconds."""
    recording = engine.open(np.zeros(SAMPLE_RATE, np.float32))
    window = Window(recording, 0, recording.frames)
    engine.submit(window, WindowOptions(language="en")).result()
    engine.align(window, engine.tokenizer("en", "transcribe").encode(" one two"), "en", "transcribe").result()
    began = monotonic()
    engine.submit(Window(recording, 0, recording.frames), WindowOptions(language="en")).result()
    return monotonic() - began
