"""A text that is being spoken, as an audio file."""

from collections.abc import Iterator
from math import ceil

import numpy as np

from app.errors import InvalidParameter
from app.synthesis.interface import Speech
from app.waveform import Pcm
from app.waveform.encode import Encoding, encoded

MOST_SECONDS = 1_800
"""What one request may have spoken. Few characters can be long: some are read by their names, and slowly."""

_TOKENS_PER_SECOND = 10
_LEAST_SECONDS = 0.1


class SpeechTooLong(InvalidParameter):
    """The text would be spoken for longer than is allowed."""


class Spoken:
    """Encoded while it is made, for `most_seconds` at most. Close it, or the making never ends."""

    def __init__(self, speech: Speech, encoding: Encoding, most_seconds: float = MOST_SECONDS) -> None:
        self.mimetype = encoding.mimetype
        self.close = speech.close
        self._speech = speech
        self._encoding = encoding
        self._most_seconds = most_seconds
        self._samples = 0

    @property
    def seconds(self) -> float:
        """How much has been spoken so far."""
        return self._samples / self._speech.rate

    @property
    def audio_tokens(self) -> int:
        """How much has been spoken so far: ten tokens for each second, as recordings are counted."""
        return ceil(_TOKENS_PER_SECOND * self.seconds)

    def pieces(self) -> Iterator[bytes]:
        """The file, to be read once. Raises SynthesisFailure if the making breaks off, SpeechTooLong."""
        return encoded(self._blocks(), self._speech.rate, self._encoding)

    def _blocks(self) -> Iterator[Pcm]:
        """All blocks, counted; a little silence for a text in which there is nothing to say."""
        for block in self._speech.blocks:
            self._samples += len(block)
            if self.seconds > self._most_seconds:
                raise SpeechTooLong(
                    f"Invalid 'input': at this 'speed' it takes more than {self._most_seconds:g} seconds to "
                    "say, which is the maximum. Send less text, or a higher 'speed'.",
                    param="input",
                )
            yield block
        if not self._samples:
            yield np.zeros(round(_LEAST_SECONDS * self._speech.rate), np.int16)
