"""Bytes <-> samples: 16 kHz mono, the only sound that Whisper hears.

Decoded files stay at the 16 bits that FFmpeg gives, half the size of float32; who computes with a block
of them scales it to -1 to 1. What is spoken here is 16-bit, at whatever rate its synthesizer has.
"""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
STEP = np.float32(1 / 32_768)
"""One step of 16 bits."""

Pcm = NDArray[np.int16]
Samples = NDArray[np.int16 | np.float32]
"""Sound at 16 kHz: of 16 bits, as files give it, or float32 from -1 to 1."""


def step_of(samples: Samples) -> np.float32:
    """What samples are multiplied by to be from -1 to 1: STEP where they have 16 bits, else 1. Exact."""
    return STEP if samples.dtype == np.int16 else np.float32(1)
