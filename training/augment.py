"""Changes to log10 mel power, [frames, 80], that make one voice in a quiet room many voices in many rooms."""

from random import Random

import numpy as np

from training.mel import FLOOR, MEL_BANDS


def varied(mel: np.ndarray, rng: Random) -> tuple[np.ndarray, float]:
    """Another tempo, vocal tract, loudness and tone. Returns the mel and how much longer it became."""
    varied_mel = mel.astype(np.float32)
    if rng.random() < 0.5:
        varied_mel = stretched(varied_mel, rng.uniform(0.88, 1.14))
    if rng.random() < 0.5:
        varied_mel = warped(varied_mel, rng.uniform(0.93, 1.07))
    return equalised(varied_mel, rng), len(varied_mel) / len(mel)


def stretched(mel: np.ndarray, factor: float) -> np.ndarray:
    """The mel made `factor` times as long."""
    frames = max(8, round(len(mel) * factor))
    return _interpolated(mel, np.linspace(0, len(mel) - 1, frames))


def warped(mel: np.ndarray, factor: float) -> np.ndarray:
    """The bands moved up or down, as a shorter or longer vocal tract does."""
    return _interpolated(mel.T, np.clip(np.arange(MEL_BANDS) * factor, 0, MEL_BANDS - 1)).T


def equalised(mel: np.ndarray, rng: Random) -> np.ndarray:
    """Another loudness and, half the time, another tone: a tilt and a ripple over the bands."""
    gain = rng.uniform(-1.6, 0.4)
    if rng.random() >= 0.5:
        return mel + np.float32(gain if rng.random() < 0.5 else 0)
    tilt = rng.uniform(-0.8, 0.8) * np.linspace(-0.5, 0.5, MEL_BANDS)
    depth = 0.25 * rng.random()
    ripple = depth * np.sin(np.arange(MEL_BANDS) * rng.uniform(0.03, 0.15) + rng.uniform(0, 6))
    return mel + (gain + tilt + ripple).astype(np.float32)


def with_noise(mel: np.ndarray, speech_power: float, noise: np.ndarray, rng: Random) -> np.ndarray:
    """The mel with a random piece of `noise` (mel power) 8 to 45 dB under `speech_power` (mean by frame)."""
    offset = rng.randrange(max(1, len(noise) - len(mel)))
    piece = noise[offset : offset + len(mel)]
    if len(piece) < len(mel):
        piece = np.resize(piece, mel.shape)
    gain = speech_power / piece.sum(1).mean() * 10 ** (-rng.uniform(8, 45) / 10)
    return np.log10(10**mel + piece * gain + 10**FLOOR).astype(np.float32)


def _interpolated(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    lower = places.astype(int)
    upper = np.minimum(lower + 1, len(rows) - 1)
    share = (places - lower)[:, None].astype(np.float32)
    return rows[lower] * (1 - share) + rows[upper] * share
