"""Small WAV files."""

import io
import wave

import numpy as np


def wav(*channels: list[int]) -> io.BytesIO:
    """Channels of 16-bit samples, each of which lasts 0.2 s at 16 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(len(channels))
        audio.setsampwidth(2)
        audio.setframerate(16_000)
        audio.writeframes(np.array(channels, "<i2").T.repeat(3_200, axis=0).tobytes())
    return file
