"""Speech of any length, as the files that people upload."""

import io
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from app.waveform import SAMPLE_RATE, STEP
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits

SPEECH = Path(__file__).resolve().parents[1] / "tests" / "data" / "minute.flac"
FILE_RATE = 44_100
CODECS = {"wav": "pcm_s16le", "mp3": "mp3"}
"""Container -> codec; mp3 at PyAV's usual 128 kbit/s."""


Sound = NDArray[np.float32]
"""16 kHz samples from -1 to 1."""


def speech(seconds: int) -> Sound:
    """Samples `[n]` of synthesized speech, said again and again."""
    with SPEECH.open("rb") as file:
        spoken = read_audio(file, AudioLimits()) * STEP
    return np.resize(spoken, seconds * SAMPLE_RATE)


def encode(samples: Sound, container: str) -> bytes:
    """A mono file at 44.1 kHz of samples `[n]`."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = cast(AudioStream, output.add_stream(CODECS[container], rate=FILE_RATE, layout="mono"))
        for block in np.array_split(samples, max(1, len(samples) // SAMPLE_RATE)):
            output.mux(stream.encode(_frame(block)))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def _frame(samples: Sound) -> AudioFrame:
    values = np.round(samples * 32_767).astype(np.int16)
    frame = AudioFrame.from_ndarray(values[None], format="s16", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    frame.time_base = Fraction(1, SAMPLE_RATE)
    return frame
