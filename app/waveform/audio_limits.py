"""The limits of one audio file: its length, sample rate, channels and the time for reading it."""

from dataclasses import dataclass

from app.waveform import SAMPLE_RATE

SHORTEST_SAMPLES = SAMPLE_RATE // 10
LOWEST_RATE, HIGHEST_RATE = 4_000, 384_000
"""Sample rates of a file, in Hz."""
MAX_CHANNELS = 16


@dataclass(frozen=True)
class AudioLimits:
    """The longest recording taken, in seconds, and the longest time (wall clock) that reading one may take.

    `why` ends the sentence that refuses a longer recording.
    """

    max_seconds: float = 14_400
    read_seconds: float = 60
    why: str = "which is the maximum for this server (WHISPER_MAX_AUDIO_SECONDS)."
