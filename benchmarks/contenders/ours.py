"""An engine of this project, behind its own transcription loop."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from app import engines
from app.checkpoints import Checkpoint
from app.engines.interface import DecodingOptions, EngineOptions, Window, WindowOptions
from app.request_context import RequestContext
from app.transcription.request import Chunking, Policy, Spans, TranscriptionRequest
from app.transcription.side_by_side import SideBySide
from app.transcription.transcribe import collected, stream_samples
from app.waveform import Samples
from benchmarks.contenders import LANGUAGE, pieces

_PLAIN = TranscriptionRequest(
    temperatures=(0.0,),
    condition_on_previous_text=False,
    compression_ratio_threshold=None,
    logprob_threshold=None,
    no_speech_threshold=None,
)
_FRAMES = 3_000
_READ_AHEAD = 16
"""Pieces that are read at a time, as by a server on a CPU."""
_PATIENCE_SECONDS = 3_600.0


def _spans(samples: Samples, chunking: Chunking) -> Spans:
    """The other contenders' pieces, not those of a voice detector."""
    return list(pieces(samples))


class Ours:
    """The batched engine at one precision."""

    def __init__(self, checkpoint: Path, size: str, precision: str) -> None:
        self.name = f"batched {precision}"
        weights = Checkpoint(size, checkpoint, "")  # a name that has alignment heads
        self._engine = engines.start("batched", weights, "cpu", EngineOptions(1, precision=precision))
        self._policy = Policy(find_speech=_spans, side_by_side=SideBySide(_READ_AHEAD))
        self._eot = self._engine.tokenizer(LANGUAGE, "transcribe").eot

    def hear(self, samples: Samples, language: str | None = LANGUAGE, beam_size: int | None = None) -> int:
        """One request."""
        return self._transcribe(
            samples, replace(_PLAIN, language=language, decoding=DecodingOptions(beam_size))
        )

    def hear_all(self, recordings: Sequence[Samples]) -> int:
        """Requests from as many threads, as a server has them."""
        with ThreadPoolExecutor(len(recordings)) as clients:
            return sum(clients.map(self.hear, recordings))

    def hear_in_pieces(self, samples: Samples) -> int:
        """One request with chunking."""
        return self._transcribe(samples, replace(_PLAIN, language=LANGUAGE, chunking=Chunking()))

    def aligner(self, samples: Samples) -> Callable[[], int]:
        """Alignment of a window whose features the engine still has."""
        window = Window(self._engine.open(samples), 0, _FRAMES)
        heard = self._engine.submit(window, WindowOptions(language=LANGUAGE)).result()
        tokens = [token for token in heard.tokens if token < self._eot]

        def align() -> int:
            words = self._engine.align(window, tokens, LANGUAGE, "transcribe").result()
            return sum(len(word.tokens) for word in words)

        return align

    def _transcribe(self, samples: Samples, request: TranscriptionRequest) -> int:
        context = RequestContext.of(_PATIENCE_SECONDS)
        deltas = stream_samples(self._engine, samples, request, self._policy, context)
        return collected(deltas, request.task).usage.output_tokens
