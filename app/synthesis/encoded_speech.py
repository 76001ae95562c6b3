"""Speech as an audio file, encoded while it is being synthesized."""

from collections.abc import Iterator
from math import ceil

import numpy as np

from app.errors import SpeechTooLong
from app.synthesis.interface import Speech
from app.waveform import Pcm
from app.waveform.encode import Encoding, encoded

MAX_SECONDS = 1_800
"""The longest speech of one request. A short text may take long: some characters are read by their names."""

_TOKENS_PER_SECOND = 10
_LEAST_SECONDS = 0.1


class EncodedSpeech:
    """A synthesizer's speech, encoded piece by piece, at most `most_seconds` of it.

    It must be closed, which stops the synthesizer.
    """

    def __init__(self, speech: Speech, encoding: Encoding, most_seconds: float = MAX_SECONDS) -> None:
        self.mimetype = encoding.mimetype
        self.close = speech.close
        self._speech = speech
        self._encoding = encoding
        self._most_seconds = most_seconds
        self._samples = 0

    @property
    def seconds(self) -> float:
        """Seconds of speech so far."""
        return self._samples / self._speech.rate

    @property
    def audio_tokens(self) -> int:
        """The same in tokens: ten per second, as for recordings."""
        return ceil(_TOKENS_PER_SECOND * self.seconds)

    def pieces(self) -> Iterator[bytes]:
        """The file, to be read once. Raises SynthesisFailure if the synthesizer fails, SpeechTooLong."""
        return encoded(self._blocks(), self._speech.rate, self._encoding)

    def _blocks(self) -> Iterator[Pcm]:
        """All blocks, counted; 0.1 s of silence for a text without speech."""
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
