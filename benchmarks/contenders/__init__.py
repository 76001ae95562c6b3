"""The programs that `engine_speed` runs side by side, each in a module that is imported when it runs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from app.waveform import SAMPLE_RATE, Samples

WINDOW_SECONDS = 30
LANGUAGE = "en"
"""Where a case gives the language."""


class Contender(Protocol):
    """One engine with its weights loaded, on one thread. Every count is of text tokens, to be compared.

    All decode at temperature 0 without fallback or previous text, so that each window costs the same.
    """

    name: str

    def hear(self, samples: Samples, language: str | None = LANGUAGE, beam_size: int | None = None) -> int:
        """Transcribe 16 kHz samples `[n]`; None detects the language, or decodes greedily."""

    def hear_all(self, recordings: Sequence[Samples]) -> int:
        """Transcribe recordings of one window each that are there at the same time."""

    def hear_in_pieces(self, samples: Samples) -> int:
        """Transcribe a long recording whose windows don't depend on each other, the fastest way there is."""

    def aligner(self, samples: Samples) -> Callable[[], int]:
        """Decode one window, and return what places its words in time: the measured part."""


def pieces(samples: Samples) -> Iterator[tuple[float, float]]:
    """Start and end seconds of the windows that samples `[n]` fill, the same for all contenders."""
    for start in range(0, len(samples), WINDOW_SECONDS * SAMPLE_RATE):
        end = min(start + WINDOW_SECONDS * SAMPLE_RATE, len(samples))
        yield start / SAMPLE_RATE, end / SAMPLE_RATE
