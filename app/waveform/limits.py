"""How much sound one audio file may hold, and how long reading it may take."""

import time
from dataclasses import dataclass
from typing import NoReturn

from app.errors import AudioTooLong

ROUNDING_SECONDS = 0.001


@dataclass(frozen=True)
class DecodeLimits:
    """The longest recording taken, and why, and the longest time (wall clock) that reading one may take."""

    max_seconds: float = 14_400
    decode_seconds: float = 60
    why: str = "which is the maximum for this server (WHISPER_MAX_AUDIO_SECONDS)."

    def too_slow(self) -> AudioTooLong:
        """What a file is refused with when its time is up."""
        return AudioTooLong(
            f"Decoding the audio file takes longer than {self.decode_seconds:g} seconds, "
            "which is the maximum for this server (WHISPER_DECODE_SECONDS).",
            param="file",
        )


class Budget:
    """What is left of the limits while one file is decoded."""

    def __init__(self, limits: DecodeLimits) -> None:
        self.spent_seconds = 0.0
        self._limits = limits
        self._deadline = time.monotonic() + limits.decode_seconds

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._deadline

    def check_time(self) -> None:
        """Raise AudioTooLong if the time is up."""
        if self.late:
            raise self._limits.too_slow()

    def check_declared(self, seconds: float) -> None:
        """Raise AudioTooLong for a recording that says itself that it is too long."""
        if seconds > self._limits.max_seconds:
            self._refuse(f"{seconds:.1f} seconds is longer", self._limits.max_seconds)

    def spend(self, seconds: float, channels: int) -> None:
        """Count decoded audio of which this many channels are kept. Raises AudioTooLong."""
        self.spent_seconds += seconds
        most = self._limits.max_seconds * 2 / max(2, channels)
        if self.spent_seconds > most + ROUNDING_SECONDS:
            self._refuse("is longer", most)

    def _refuse(self, excess: str, most: float) -> NoReturn:
        raise AudioTooLong(f"Audio duration {excess} than {most:g} seconds, {self._limits.why}", param="file")
