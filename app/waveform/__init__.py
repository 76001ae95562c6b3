"""Bytes <-> samples: 16 kHz mono float32 from -1 to 1, the only sound that Whisper hears."""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000

Samples = NDArray[np.float32]
