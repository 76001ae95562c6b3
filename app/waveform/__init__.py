"""Bytes <-> samples: 16 kHz mono float32 from -1 to 1, the only sound that Whisper hears.

What is spoken here is 16-bit, at whatever rate its synthesizer has.
"""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
STEP = np.float32(1 / 32_768)
"""One step of 16 bits."""

Samples = NDArray[np.float32]
Pcm = NDArray[np.int16]
