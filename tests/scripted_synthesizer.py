"""A Synthesizer without a voice, for tests of what sits above: a character lasts 10 ms."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from app.synthesis.interface import Speech, Synthesizer
from app.waveform import Pcm

RATE = 24_000
SAMPLES_PER_CHARACTER = RATE // 100


class ScriptedSynthesizer:
    """Keeps what it was asked to say, and counts the speeches that nobody closed.

    `failure` is raised before any sound, `breaks` after the first block.
    Characters last `slow` times as long.
    """

    name = "scripted"

    def __init__(
        self, failure: Exception | None = None, breaks: Exception | None = None, slow: int = 1
    ) -> None:
        self.said: list[tuple[str, str, float, str | None]] = []
        self.open = 0
        self._failure = failure
        self._breaks = breaks
        self.slow = slow

    def speak(self, text: str, voice: str, speed: float = 1.0, language: str | None = None) -> Speech:
        self.said.append((text, voice, speed, language))
        if self._failure:
            raise self._failure
        self.open += 1
        return Speech(RATE, self._blocks(text), self._close)

    def _blocks(self, text: str) -> Iterator[Pcm]:
        for character in text.strip(" .…"):
            yield np.full(self.slow * SAMPLES_PER_CHARACTER, ord(character), np.int16)
            if self._breaks:
                raise self._breaks

    def _close(self) -> None:
        self.open -= 1


if TYPE_CHECKING:
    STANDS_FOR: type[Synthesizer] = ScriptedSynthesizer
