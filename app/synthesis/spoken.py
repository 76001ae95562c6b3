"""A text that is being spoken, as an audio file."""

from collections.abc import Iterator
from math import ceil

import numpy as np

from app.synthesis.interface import Speech
from app.waveform import Pcm
from app.waveform.encode import Encoding, encoded

_TOKENS_PER_SECOND = 10
_LEAST_SECONDS = 0.1


class Spoken:
    """Encoded while it is made. Close it, or the making never ends."""

    def __init__(self, speech: Speech, encoding: Encoding) -> None:
        self.mimetype = encoding.mimetype
        self.close = speech.close
        self._speech = speech
        self._encoding = encoding
        self._samples = 0

    @property
    def audio_tokens(self) -> int:
        """How much has been spoken so far: ten tokens for each second, as recordings are counted."""
        return ceil(_TOKENS_PER_SECOND * self._samples / self._speech.rate)

    def pieces(self) -> Iterator[bytes]:
        """The file, to be read once. Raises SynthesisFailure if the making breaks off."""
        return encoded(self._blocks(), self._speech.rate, self._encoding)

    def _blocks(self) -> Iterator[Pcm]:
        """All blocks, counted; a little silence for a text in which there is nothing to say."""
        for block in self._speech.blocks:
            self._samples += len(block)
            yield block
        if not self._samples:
            yield np.zeros(round(_LEAST_SECONDS * self._speech.rate), np.int16)
