"""openai-whisper as it is: one window after the other."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import whisper
from numba.core.errors import NumbaPerformanceWarning
from whisper import _ALIGNMENT_HEADS
from whisper.audio import N_FRAMES, log_mel_spectrogram, pad_or_trim
from whisper.timing import find_alignment
from whisper.tokenizer import get_tokenizer

from app.waveform import Samples
from benchmarks.contenders import LANGUAGE

_PLAIN = {
    "temperature": 0.0,
    "condition_on_previous_text": False,
    "compression_ratio_threshold": None,
    "logprob_threshold": None,
    "no_speech_threshold": None,
    "fp16": False,
}


class OpenAIWhisper:
    """`whisper.transcribe` and `whisper.timing.find_alignment`."""

    name = "openai-whisper"

    def __init__(self, checkpoint: Path, size: str) -> None:
        self._model: Any = whisper.load_model(str(checkpoint), device="cpu")
        self._model.set_alignment_heads(_ALIGNMENT_HEADS[size])
        self._tokenizer = get_tokenizer(
            self._model.is_multilingual,
            num_languages=self._model.num_languages,
            language=LANGUAGE,
            task="transcribe",
        )

    def hear(self, samples: Samples, language: str | None = LANGUAGE, beam_size: int | None = None) -> int:
        """One recording."""
        return len(self._text_tokens(samples, language, beam_size))

    def hear_all(self, recordings: Sequence[Samples]) -> int:
        """It can't do two things at once."""
        return sum(map(self.hear, recordings))

    def hear_in_pieces(self, samples: Samples) -> int:
        """It has no other way than one window after the other."""
        return self.hear(samples)

    def aligner(self, samples: Samples) -> Callable[[], int]:
        """Its alignment runs the encoder and the decoder once more."""
        tokens = self._text_tokens(samples, LANGUAGE, None)
        mel = pad_or_trim(log_mel_spectrogram(samples, self._model.dims.n_mels), N_FRAMES)

        def align() -> int:
            words = find_alignment(self._model, self._tokenizer, tokens, mel, N_FRAMES)
            return sum(len(word.tokens) for word in words)

        return align

    def _text_tokens(self, samples: Samples, language: str | None, beam_size: int | None) -> list[int]:
        torch.set_num_threads(1)  # numba's first parallel function set it to the cores
        with warnings.catch_warnings():
            # openai-whisper asks numba to run its DTW in parallel, which it can't
            warnings.simplefilter("ignore", NumbaPerformanceWarning)
            heard = whisper.transcribe(self._model, samples, language=language, beam_size=beam_size, **_PLAIN)
        tokens = (token for segment in heard["segments"] for token in segment["tokens"])
        return [token for token in tokens if token < self._tokenizer.eot]
