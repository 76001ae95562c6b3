"""Audio file -> segments: the one pipeline of transcriptions, translations and chats, streamed or not."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import BinaryIO

from app.engines.interface import Engine
from app.request_context import RequestContext
from app.scheduling import SchedulingClass
from app.transcript import Transcript, TranscriptDelta
from app.transcription.audio_reader import AudioReader
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.resume_store import ResumeStore
from app.transcription.transcribe import collected, stream_samples
from app.transcription.unfinished import KnownText, UnfinishedListener, UnfinishedText
from app.transcription.window_loop import open_audio
from app.transcription.windows import check_time_for_clips
from app.waveform import Samples

Deltas = Generator[TranscriptDelta, None, None]


@dataclass(frozen=True)
class Transcriber:
    """Transcribes the files of a worker's requests. `engine_for(context)` is the engine for one request.

    If a client loses its connection and sends the same upload again, the windows that are decoded already
    are not decoded again, whether the answer is streamed or not, if the model is the same: `model_identity`.
    """

    engine_for: Callable[[RequestContext], Engine]
    policy: Policy
    reader: AudioReader
    resume_store: ResumeStore
    model_identity: str = ""

    def transcribe(
        self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext
    ) -> Transcript:
        """All of `stream`, collected."""
        return collected(self.stream(file, request, context), request.task)

    def stream(self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext) -> Deltas:
        """Read the file now, and transcribe it while the result is iterated over. It must be closed.

        Raises InvalidRequest, RequestTimeout, ClientGone, ServerBusy; iterating raises what
        `stream_samples` raises.
        """
        self._check_time(request, context)
        deltas = self._stream(file, request, context)
        next(deltas)  # reads the file, so that its errors are raised here
        return deltas

    def stream_samples(
        self,
        samples: Samples,
        request: TranscriptionRequest,
        context: RequestContext,
        engine: Engine | None = None,
    ) -> Deltas:
        """The segments of 16 kHz samples: mono `[n]`, or `[channels, n]` for a request by channel.

        `engine` replaces `engine_for(context)`. Raises RequestTimeout, ClientGone,
        EngineFailure, InvalidLanguage.
        """
        engine = engine or self.engine_for(context)
        yield from stream_samples(engine, samples, request, self.policy, context)

    def hear_unfinished(
        self, samples: Samples, known: KnownText, request: TranscriptionRequest, context: RequestContext
    ) -> UnfinishedText | None:
        """The text so far of at most 30 s of 16 kHz samples `[n]` that others will follow, if there is any.

        Raises RequestTimeout, ClientGone, EngineFailure.
        """
        engine = self.engine_for(context)
        with open_audio(engine, samples, context, SchedulingClass.LIVE_TEXT) as audio:
            return UnfinishedListener(engine, request, self.policy, context).hear(audio, known)

    def _stream(self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext) -> Deltas:
        with (
            self.resume_store.resuming(
                self.engine_for(context), file, request, context, self.model_identity
            ) as engine,
            self.reader.read(
                file, context, by_channel=request.by_channel, mono_is_plain=request.mono_is_plain
            ) as samples,
        ):
            request = replace(request, by_channel=samples.ndim > 1)
            yield TranscriptDelta("")  # the file has been read: `stream` returns
            yield from self.stream_samples(samples, request, context, engine)

    def _check_time(self, request: TranscriptionRequest, context: RequestContext) -> None:
        """Raise InvalidParameter if a request's clips alone take longer than its deadline."""
        limit = context.limit_seconds
        check_time_for_clips(request.clip_seconds, self.reader.longest_seconds(limit), limit)
