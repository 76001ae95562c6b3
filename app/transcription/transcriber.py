"""From an audio file to its segments: the one way there, for all that a worker is asked."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import BinaryIO

from app.engines.interface import Engine
from app.request_context import RequestContext
from app.transcript import Transcript, TranscriptDelta
from app.transcription.audio_reader import AudioReader
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.resume_store import ResumeStore
from app.transcription.transcribe import collected, stream_samples
from app.transcription.windows import check_time_for_clips
from app.waveform import Samples

Deltas = Generator[TranscriptDelta, None, None]


@dataclass(frozen=True)
class Transcriber:
    """A worker's. `engine_for(context)` is the engine as one request is to use it.

    A client that loses its connection and sends the same upload again goes on after the windows that
    are decoded, whether it wants its answer whole or as a stream.
    """

    engine_for: Callable[[RequestContext], Engine]
    policy: Policy
    reader: AudioReader
    resume_store: ResumeStore

    def transcribe(
        self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext
    ) -> Transcript:
        """All of `stream`, collected."""
        return collected(self.stream(file, request, context), request.task)

    def stream(self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext) -> Deltas:
        """Read the file now; its segments come as soon as they are known. To be closed.

        Raises InvalidRequest, RequestTimeout, ClientGone, ServerBusy; reading the segments raises what
        `stream_samples` raises.
        """
        self._check_time(request, context)
        deltas = self._stream(file, request, context)
        next(deltas)  # what is wrong with the file is raised here, and not with its first segment
        return deltas

    def stream_samples(
        self, samples: Samples, request: TranscriptionRequest, context: RequestContext
    ) -> Deltas:
        """The segments of 16 kHz samples: mono `[n]`, or `[channels, n]` for a request by channel.

        Raises RequestTimeout, ClientGone, EngineFailure, InvalidLanguage.
        """
        yield from stream_samples(self.engine_for(context), samples, request, self.policy, context)

    def _stream(self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext) -> Deltas:
        engine = self.engine_for(context)
        with (
            self.resume_store.resuming(engine, file, request, context) as resumed,
            self.reader.read(file, context, by_channel=request.by_channel) as samples,
        ):
            yield TranscriptDelta("")
            yield from stream_samples(resumed, samples, request, self.policy, context)

    def _check_time(self, request: TranscriptionRequest, context: RequestContext) -> None:
        """Raise InvalidParameter if a request's clips alone take longer than its deadline."""
        limit = context.limit_seconds
        check_time_for_clips(request.clip_seconds, self.reader.longest_seconds(limit), limit)
