"""The interface of synthesizers: text in, blocks of samples out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from app.waveform import Pcm


@dataclass(frozen=True)
class Speech:
    """Mono speech at `rate` samples per second, in blocks `[n]` as they are synthesized.

    Iterating raises SynthesisFailure if the synthesizer fails. `close` stops it and must be called.
    """

    rate: int
    blocks: Iterator[Pcm]
    close: Callable[[], None]


class Synthesizer(Protocol):
    """Turns text into speech."""

    @property
    def name(self) -> str:
        """Its name as a request's `model`; empty for NullSynthesizer."""

    def speak(self, text: str, voice: str, speed: float = 1.0, language: str | None = None) -> Speech:
        """Speak a text with one of VOICES, `speed` times as fast as the voice's normal speed.

        `language` is a code of `app.languages`; without it the text's script decides. Raises
        SpeechUnavailable, UnsupportedValue for an unsupported language, ServerBusy, SynthesisFailure.
        """
