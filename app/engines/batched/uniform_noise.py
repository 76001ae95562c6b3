"""The random numbers of sampling: each row's own, so that a request gives the same text in any batch."""

import zlib

import numpy as np
import torch
from torch import Tensor

from app.engines.interface import Window, WindowOptions


def uniform_noise(window: Window, options: WindowOptions, rows: int, count: int) -> Tensor:
    """Uniform numbers in [0, 1), `[rows, count]` in float64, seeded by request, window, temperature, row."""
    keys = (f"{options.seed or 0}/{window.seek}/{options.temperature}/{row}" for row in range(rows))
    generators = (np.random.default_rng(zlib.crc32(key.encode())) for key in keys)
    return torch.from_numpy(np.stack([generator.random(count) for generator in generators]))
