"""A recording cut at its pauses, and the pieces transcribed side by side."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from app.engines.interface import FRAMES_PER_SECOND, WINDOW_FRAMES, Window
from app.transcript import Segment
from app.transcription.request import Chunking, Spans
from app.transcription.window_loop import WindowLoop

LONGEST_SECONDS = WINDOW_FRAMES / FRAMES_PER_SECOND


def join_spans(spans: Spans, longest_seconds: float = LONGEST_SECONDS) -> Spans:
    """Join neighbouring spans, and the pauses between them, as long as they fit into one window."""
    joined: Spans = []
    for start, end in spans:
        if joined and end - joined[-1][0] <= longest_seconds:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


class PieceByPiece:
    """A TranscriptionStrategy that transcribes each piece by itself, without the text before it as prompt."""

    def __init__(self, whole: WindowLoop, chunking: Chunking) -> None:
        self.whole = whole
        self.chunking = chunking
        self.language = whole.language

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the caller's prompt has."""
        return self.whole.prompt_tokens

    def segments(self) -> Iterator[Segment]:
        """The segments of all pieces, in order. The language is detected on the first piece, for all."""
        pieces = join_spans(self.whole.policy.find_speech(self.whole.audio.samples, self.chunking))
        self.language = self.language or self._detect(pieces)
        by_piece = [self._piece(piece).segments() for piece in pieces]
        with self.whole.policy.side_by_side.read_ahead(by_piece) as segments_ahead:
            yield from chain.from_iterable(segments_ahead)

    def _piece(self, piece: tuple[float, float]) -> WindowLoop:
        whole = self.whole
        request = replace(whole.request, language=self.language, clip_seconds=piece)
        return WindowLoop(whole.engine, whole.audio, request, whole.policy, whole.context)

    def _detect(self, pieces: Spans) -> str:
        whole = self.whole
        if not pieces:
            return whole.detector.of_padded_audio(whole.recording)
        start, end = (round(seconds * FRAMES_PER_SECOND) for seconds in pieces[0])
        return whole.detector.of(Window(whole.recording, start, min(WINDOW_FRAMES, end - start)))
