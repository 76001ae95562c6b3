"""Checks an audio file against its limits while it is read."""

import time

from app.waveform.audio_limits import AudioLimits
from app.waveform.audio_refusals import AudioRefused, RefusalCode

ROUNDING_SECONDS = 0.001


class AudioBudget:
    """The time and length that one file may take. The time starts now."""

    def __init__(self, limits: AudioLimits) -> None:
        self.spent_seconds = 0.0
        self._limits = limits
        self._deadline = time.monotonic() + limits.read_seconds

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._deadline

    def check_time(self) -> None:
        """Raise AudioRefused if the time is up."""
        if self.late:
            raise AudioRefused(RefusalCode.TOO_SLOW)

    def check_declared(self, seconds: float) -> None:
        """Raise AudioRefused for a recording that declares itself to be too long."""
        if seconds > self._limits.max_seconds:
            raise AudioRefused(RefusalCode.DECLARED_TOO_LONG, seconds)

    def spend(self, seconds: float, channels: int) -> None:
        """Count audio of which this many channels are kept. Raises AudioRefused."""
        self.spent_seconds += seconds
        allowed_seconds = self._limits.max_seconds * 2 / max(2, channels)
        if self.spent_seconds > allowed_seconds + ROUNDING_SECONDS:
            raise AudioRefused(RefusalCode.TOO_LONG, allowed_seconds)
