"""faster-whisper on CTranslate2, with the same weights in float32 or int8."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from faster_whisper import BatchedInferencePipeline, WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import Segment

from app.waveform import Samples
from benchmarks.contenders import LANGUAGE, pieces

_PLAIN = {
    "temperature": 0.0,
    "condition_on_previous_text": False,
    "compression_ratio_threshold": None,
    "log_prob_threshold": None,
    "no_speech_threshold": None,
    "without_timestamps": False,
}
_FRAMES = 3_000
_BATCH = 8


class FasterWhisper:
    """`WhisperModel`, and `BatchedInferencePipeline` where there is more than one window."""

    def __init__(self, folder: Path, precision: str) -> None:
        self.name = f"faster-whisper {precision}"
        self._model = WhisperModel(str(folder), device="cpu", compute_type=precision, cpu_threads=1)
        self._pipeline = BatchedInferencePipeline(self._model)
        self._tokenizer = Tokenizer(self._model.hf_tokenizer, True, task="transcribe", language=LANGUAGE)

    def hear(self, samples: Samples, language: str | None = LANGUAGE, beam_size: int | None = None) -> int:
        """One recording."""
        heard, _ = self._model.transcribe(samples, language, beam_size=beam_size or 1, **_PLAIN)
        return len(self._text_tokens(heard))

    def hear_all(self, recordings: Sequence[Samples]) -> int:
        """It batches the windows of one recording only: so these count as one, which favours it."""
        return self.hear_in_pieces(np.concatenate(recordings))

    def hear_in_pieces(self, samples: Samples) -> int:
        """Its batched pipeline, told where to cut."""
        clips = [{"start": start, "end": end} for start, end in pieces(samples)]
        heard, _ = self._pipeline.transcribe(
            samples, LANGUAGE, beam_size=1, batch_size=_BATCH, clip_timestamps=clips, **_PLAIN
        )
        return len(self._text_tokens(heard))

    def aligner(self, samples: Samples) -> Callable[[], int]:
        """Its alignment of features that it has already."""
        heard, _ = self._model.transcribe(samples, LANGUAGE, beam_size=1, **_PLAIN)
        tokens = self._text_tokens(heard)
        mel = self._model.feature_extractor(samples)[:, :_FRAMES]
        features = self._model.encode(mel)

        def align() -> int:
            (words,) = self._model.find_alignment(self._tokenizer, [tokens], features, _FRAMES)
            return sum(len(word["tokens"]) for word in words)

        return align

    def _text_tokens(self, heard: Iterable[Segment]) -> list[int]:
        tokens = (token for segment in heard for token in segment.tokens)
        return [token for token in tokens if token < self._tokenizer.eot]
