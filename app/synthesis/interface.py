"""What a synthesizer is to the rest of the program: text in, blocks of sound out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from app.waveform import Pcm


@dataclass(frozen=True)
class Speech:
    """Mono sound at `rate` samples a second, in blocks `[n]` as they are made.

    Reading them raises SynthesisFailure if the synthesizer breaks off. `close` stops it and must be called.
    """

    rate: int
    blocks: Iterator[Pcm]
    close: Callable[[], None]


class Synthesizer(Protocol):
    """One way to speak."""

    @property
    def name(self) -> str:
        """What requests may call it as their `model`; empty for one that can't speak."""

    def speak(self, text: str, voice: str, speed: float = 1.0, language: str | None = None) -> Speech:
        """Say a text with one of VOICES, `speed` times as fast as the voice does by itself.

        `language` is a code of `app.languages`; without it the text's script decides. Raises
        SpeechUnavailable, UnsupportedValue for a language it doesn't speak, ServerBusy, SynthesisFailure.
        """
