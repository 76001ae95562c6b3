"""Samples to log-mel frames, as openai-whisper computes them but before it clips and scales."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import whisper

SAMPLE_RATE = 16_000
FRAMES_PER_SECOND = 100
MEL_BANDS = 80
FLOOR = -10.0  # log10 of the smallest power that openai-whisper tells from silence


def log_mel(samples: np.ndarray) -> np.ndarray:
    """16 kHz samples -> log10 mel power, [frames, 80] of float16, 100 frames a second.

    Not yet clipped to 8 below the maximum nor scaled: that happens after noise and gain were changed.
    """
    whole_frames = np.pad(samples, (0, -len(samples) % 160)).astype(np.float32)
    spectrum = torch.stft(
        torch.from_numpy(np.pad(whole_frames, 200)),
        n_fft=400,
        hop_length=160,
        window=torch.hann_window(400),
        center=False,
        return_complex=True,
    )
    power = spectrum[:, :-1].abs() ** 2
    return torch.clamp(_filters() @ power, min=10**FLOOR).log10().T.half().numpy()


@lru_cache(maxsize=1)
def _filters() -> torch.Tensor:
    archive = Path(whisper.__file__).parent / "assets" / "mel_filters.npz"
    return torch.from_numpy(np.load(archive)["mel_80"])
