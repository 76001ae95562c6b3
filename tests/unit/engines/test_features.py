"""Block-wise features against openai-whisper's, which are computed in one piece."""

import numpy as np
import pytest
import torch
from whisper.audio import N_FRAMES, N_SAMPLES, log_mel_spectrogram, pad_or_trim

from app.engines.features import LogMel
from app.waveform import STEP, Samples

CPU = torch.device("cpu")


def features(samples: Samples, n_mels: int = 80) -> LogMel:
    recording = LogMel(samples, n_mels, CPU)
    for first, end in recording.blocks():
        recording.compute(first, end)
    recording.clip()
    return recording


def sound(seconds: float) -> Samples:
    """Louder and louder noise, so that the maximum lies at the very end."""
    n = round(seconds * 16_000)
    return (np.random.default_rng(1).normal(0, 0.1, n) * np.linspace(0.01, 1, n)).astype(np.float32)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("seconds", [0.1, 1.2345, 29.995, 30.0, 30.005, 61.7])
def test_every_window_equals_openai_whispers(seconds: float, n_mels: int) -> None:
    samples = sound(seconds)
    whole = log_mel_spectrogram(samples, n_mels, padding=N_SAMPLES)
    recording = features(samples, n_mels)
    assert recording.frames == whole.shape[1] - N_FRAMES
    for seek in range(0, recording.frames, 1717):
        frames = min(N_FRAMES, recording.frames - seek)
        expected = pad_or_trim(whole[:, seek : seek + frames], N_FRAMES)
        assert torch.allclose(recording.window(seek, frames), expected, atol=1e-5)


@pytest.mark.parametrize("seconds", [0.1, 5.0, 29.9, 40.0])
def test_the_first_padded_window_is_what_languages_are_detected_on(seconds: float) -> None:
    samples = sound(seconds)
    expected = pad_or_trim(log_mel_spectrogram(samples, padding=N_SAMPLES), N_FRAMES)
    assert torch.allclose(features(samples).window(0, N_FRAMES), expected, atol=1e-5)


@pytest.mark.parametrize("seconds", [0.1, 1.2345, 30.005, 61.7])
def test_16_bits_give_the_very_same_features(seconds: float) -> None:
    samples = np.round(sound(seconds) * 32_768).clip(-32_768, 32_767).astype(np.int16)
    samples[:2] = -32_768, 32_767
    assert torch.equal(features(samples)._mel, features(samples * STEP)._mel)


def test_silence_is_finite() -> None:
    assert torch.isfinite(features(np.zeros(16_000, np.float32)).window(0, 100)).all()
