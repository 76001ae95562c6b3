"""One recording into one transcript: the whole in order, in pieces, or channel by channel.

What openai-whisper's `transcribe()` does, over any engine. Two departures, both switched off by
`Policy.strict`: windows without speech are not decoded, and the language is detected on the
features that are decoded anyway.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from math import ceil
from typing import Protocol

from app.engines.interface import Engine
from app.request_context import RequestContext
from app.transcript import Segment, TokenUsage, Transcript, TranscriptDelta
from app.transcription.channels import ByChannel
from app.transcription.language import check_languages
from app.transcription.pieces import PieceByPiece
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.text import TextStream
from app.transcription.window_loop import WindowLoop
from app.waveform import SAMPLE_RATE, Samples

_AUDIO_TOKENS_PER_SECOND = 10


class TranscriptionStrategy(Protocol):
    """A way to read a recording."""

    @property
    def language(self) -> str | None:
        """Known once the first segment is out, or all of them."""

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the caller's prompt has."""

    def segments(self, samples: Samples) -> Iterator[Segment]:
        """Segments in the order of time, as soon as they are known."""


def transcribe(
    engine: Engine,
    samples: Samples,
    request: TranscriptionRequest,
    policy: Policy,
    context: RequestContext,
) -> Transcript:
    """All of `stream()`, collected."""
    *deltas, last = stream(engine, samples, request, policy, context)
    assert last.usage is not None
    return Transcript(
        task=request.task,
        language=last.language,
        duration_seconds=samples.shape[-1] / SAMPLE_RATE,
        text="".join(delta.text for delta in deltas) + last.text,
        segments=tuple(delta.segment for delta in deltas if delta.segment),
        usage=last.usage,
    )


def stream(
    engine: Engine,
    samples: Samples,
    request: TranscriptionRequest,
    policy: Policy,
    context: RequestContext,
) -> Iterator[TranscriptDelta]:
    """Each segment as soon as its window is decoded, then one last delta.

    `samples` are 16 kHz: mono `[n]`, or `[channels, n]` for a request by channel. Closing the iterator
    drops whatever the engine still has of this recording. Raises RequestTimeout, ClientGone,
    EngineFailure, InvalidLanguage.
    """
    check_languages(engine, request)
    context.check()  # reading the audio may have taken longer than the client stayed
    with ExitStack() as recordings:
        channels = samples if request.by_channel else samples[None]
        opened = [recordings.enter_context(closing(engine.open(channel))) for channel in channels]
        window_loop = [WindowLoop(engine, recording, request, policy, context) for recording in opened]
        yield from _deltas(engine, _reading(window_loop, request), request, samples)


def _reading(window_loop: list[WindowLoop], request: TranscriptionRequest) -> TranscriptionStrategy:
    if request.by_channel:
        return ByChannel(window_loop, request.speaker_names)
    if request.chunking:
        return PieceByPiece(window_loop[0], request.chunking)
    return window_loop[0]


def _deltas(
    engine: Engine, reading: TranscriptionStrategy, request: TranscriptionRequest, samples: Samples
) -> Iterator[TranscriptDelta]:
    """Number the segments, and turn their tokens into text."""
    tokenizer = engine.tokenizer(request.language, request.task)
    text, output_tokens = TextStream(tokenizer), 0
    for number, segment in enumerate(reading.segments(samples)):
        output_tokens += sum(token < tokenizer.eot for token in segment.tokens)
        yield TranscriptDelta(reading.language or "", text.feed(segment.tokens), replace(segment, id=number))
    seconds = samples.shape[-1] / SAMPLE_RATE
    usage = TokenUsage(ceil(_AUDIO_TOKENS_PER_SECOND * seconds), reading.prompt_tokens, output_tokens)
    yield TranscriptDelta(reading.language or "", text.flush(), usage=usage)
