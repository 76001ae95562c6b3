import numpy as np
import pytest

from app.waveform.tempo import at_tempo

RATE = 22_050


@pytest.mark.parametrize("tempo", [0.25, 0.45, 0.75, 2.0])
def test_longer_or_shorter_at_the_same_pitch(tempo: float) -> None:
    tone = (np.sin(2 * np.pi * 300 * np.arange(2 * RATE) / RATE) * 9_000).astype(np.int16)
    slowed = np.concatenate(list(at_tempo(np.array_split(tone, 9), RATE, tempo)))
    assert slowed.dtype == np.int16
    assert len(slowed) == pytest.approx(len(tone) / tempo, rel=0.05)
    second = slowed[RATE // 4 : RATE // 4 + RATE // 2]
    assert np.abs(np.fft.rfft(second)).argmax() == pytest.approx(150, abs=3)


def test_nothing_stays_nothing() -> None:
    assert list(at_tempo([], RATE, 0.5)) == []
