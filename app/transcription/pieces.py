"""A recording cut at its pauses, and the pieces transcribed side by side."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from itertools import chain

from app.engines.interface import FRAMES_PER_SECOND, WINDOW_FRAMES, Recording, Window
from app.request_context import RequestContext
from app.transcript import Segment
from app.transcription.language import Detected, LanguageDetector
from app.transcription.request import Chunking, Spans
from app.transcription.window_loop import WindowLoop

LONGEST_SECONDS = WINDOW_FRAMES / FRAMES_PER_SECOND

_SHORTEST_FRAMES = 3 * FRAMES_PER_SECOND
"""In less than this a language is not told apart."""


def join_spans(spans: Spans, longest_seconds: float = LONGEST_SECONDS) -> Spans:
    """Join neighbouring spans, and the pauses between them, as long as they fit into one window."""
    joined: Spans = []
    for start, end in spans:
        if joined and end - joined[-1][0] <= longest_seconds:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


class PieceLanguage:
    """The language of one piece; a Detector.

    It is the piece's own if that lasts long enough and is sure, else that of the piece before.
    """

    def __init__(
        self, detector: LanguageDetector, context: RequestContext, before: "PieceLanguage | None"
    ) -> None:
        self._detector = detector
        self._context = context
        self._before = before
        self._known: Future[str] = Future()

    def of(self, window: Window) -> Detected:
        """The language of the piece's first window that has speech."""
        detected = self._detector.of(window) if self._before is None else self._own(window, self._before)
        self._known.set_result(detected.language)
        return detected

    def of_padded_audio(self, recording: Recording) -> str:
        """The language of a piece without speech."""
        before = self._before
        language = self._detector.of_padded_audio(recording) if before is None else before.wait()
        self._known.set_result(language)
        return language

    def wait(self) -> str:
        """The language, once the thread that reads the piece knows it."""
        return self._context.wait(self._known)

    def give_up(self) -> None:
        """The piece is not read to its end."""
        self._known.cancel()

    def _own(self, window: Window, before: "PieceLanguage") -> Detected:
        """The window's own language, or that of the piece before."""
        if window.frames < _SHORTEST_FRAMES:
            return Detected(before.wait(), window)
        detected, sure = self._detector.own(window)
        return detected if sure else detected._replace(language=before.wait())


class PieceByPiece:
    """Reads each piece on its own, without the text of the one before; a TranscriptionStrategy.

    `language` is that of the first segment, unless it was told; without any, that of the first piece.
    """

    def __init__(self, whole: WindowLoop, chunking: Chunking) -> None:
        self.whole = whole
        self.chunking = chunking
        self.language = whole.language

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the caller's prompt has."""
        return self.whole.prompt_tokens

    def segments(self) -> Iterator[Segment]:
        """The segments of all pieces, in order."""
        whole = self.whole
        detector = LanguageDetector(whole.engine, whole.request, whole.policy, whole.context)
        languages: list[PieceLanguage] = []
        read = []
        for piece in join_spans(whole.policy.find_speech(whole.audio.samples, self.chunking)):
            languages.append(PieceLanguage(detector, whole.context, languages[-1] if languages else None))
            read.append(self._read(piece, languages[-1]))
        with whole.policy.side_by_side.read_ahead(read) as ahead:
            for segment in chain.from_iterable(ahead):
                self.language = self.language or segment.language
                yield segment
        if not self.language:
            self.language = languages[0].wait() if languages else detector.of_padded_audio(whole.recording)

    def _read(self, piece: tuple[float, float], language: PieceLanguage) -> Iterator[Segment]:
        whole = self.whole
        request = replace(whole.request, clip_seconds=piece)
        loop = WindowLoop(whole.engine, whole.audio, request, whole.policy, whole.context, detector=language)
        try:
            yield from loop.segments()
        finally:
            language.give_up()
