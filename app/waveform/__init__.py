"""Bytes <-> samples. Whisper's input is 16 kHz mono.

Decoded files stay at FFmpeg's 16 bits, half the size of float32; computations scale their blocks to -1 to 1.
Speech has 16 bits, at its synthesizer's rate.
"""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
STEP = np.float32(1 / 32_768)
"""One step of 16 bits."""

Pcm = NDArray[np.int16]
Samples = NDArray[np.int16 | np.float32]
"""Audio at 16 kHz: 16 bits, as decoded from files, or float32 from -1 to 1."""


def step_of(samples: Samples) -> np.float32:
    """The factor that scales samples to -1 to 1: STEP for 16 bits, else 1. The product is exact."""
    return STEP if samples.dtype == np.int16 else np.float32(1)
