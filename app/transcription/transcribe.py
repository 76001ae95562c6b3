"""One recording into one transcript: the whole in order, in pieces, or channel by channel.

What openai-whisper's `transcribe()` does, over any engine. Two departures, both switched off by
`Policy.strict`: windows without speech are not decoded, and the language is detected on the
features that are decoded anyway.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from math import ceil
from typing import Protocol

from app.engines.interface import FRAMES_PER_SECOND, WINDOW_FRAMES, Engine
from app.request_context import RequestContext
from app.transcript import Segment, Task, TokenUsage, Transcript, TranscriptDelta
from app.transcription.channels import ByChannel
from app.transcription.language import LanguageDetector, check_languages
from app.transcription.pieces import PieceByPiece
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.text import TextStream
from app.transcription.window_loop import WindowLoop, open_audio
from app.waveform import SAMPLE_RATE, Samples

_AUDIO_TOKENS_PER_SECOND = 10


class TranscriptionStrategy(Protocol):
    """A way to transcribe a recording."""

    @property
    def language(self) -> str | None:
        """None until the first segment, or the end, is reached."""

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the caller's prompt has."""

    def segments(self) -> Iterator[Segment]:
        """Segments in the order of time, as soon as they are known."""


def collected(deltas: Iterable[TranscriptDelta], task: Task) -> Transcript:
    """The transcript that `deltas` are the pieces of; the last of them has the usage."""
    *others, last = deltas
    assert last.usage is not None
    return Transcript(
        task=task,
        language=last.language,
        duration_seconds=last.duration_seconds,
        text="".join(delta.text for delta in others) + last.text,
        segments=tuple(delta.segment for delta in others if delta.segment),
        usage=last.usage,
        language_probability=last.language_probability,
    )


def stream_samples(
    engine: Engine,
    samples: Samples,
    request: TranscriptionRequest,
    policy: Policy,
    context: RequestContext,
) -> Iterator[TranscriptDelta]:
    """Each segment as soon as its window is decoded, then one last delta.

    `samples` are 16 kHz: mono `[n]`, or `[channels, n]` for a request by channel. Closing the iterator
    closes the recording, which cancels its windows. Raises RequestTimeout, ClientGone,
    EngineFailure, InvalidLanguage.
    """
    check_languages(engine, request)
    context.check()  # reading the audio may have taken long
    if request.language_only:
        samples = samples[: SAMPLE_RATE * WINDOW_FRAMES // FRAMES_PER_SECOND]
    with ExitStack() as held:
        channels = samples[None]
        if request.by_channel:
            # A segment's own start may be that of the silence before it, and speakers are merged by time.
            channels, request = samples, replace(request, word_timestamps=True)
        opened = [held.enter_context(open_audio(engine, channel, context)) for channel in channels]
        loops = [WindowLoop(engine, audio, request, policy, context) for audio in opened]
        seconds = samples.shape[-1] / SAMPLE_RATE
        if request.language_only:
            yield _spoken_language(loops[0], seconds)
            return
        yield from _deltas(engine, _strategy(loops, request), request, seconds)


def _strategy(loops: list[WindowLoop], request: TranscriptionRequest) -> TranscriptionStrategy:
    if request.by_channel:
        return ByChannel(loops, request.speaker_names)
    if request.chunking:
        return PieceByPiece(loops[0], request.chunking)
    return loops[0]


def _deltas(
    engine: Engine, strategy: TranscriptionStrategy, request: TranscriptionRequest, seconds: float
) -> Iterator[TranscriptDelta]:
    """Number the segments and decode their tokens."""
    tokenizer = engine.tokenizer(request.language, request.task)
    text, output_tokens = TextStream(tokenizer), 0
    for number, segment in enumerate(strategy.segments()):
        output_tokens += sum(token < tokenizer.eot for token in segment.tokens)
        numbered = replace(segment, id=number)
        yield TranscriptDelta(strategy.language or "", text.feed(segment.tokens), numbered)
    usage = TokenUsage(_audio_tokens(seconds), strategy.prompt_tokens, output_tokens)
    yield TranscriptDelta(strategy.language or "", text.flush(), usage=usage, duration_seconds=seconds)


def _spoken_language(loop: WindowLoop, seconds: float) -> TranscriptDelta:
    """The only delta of a request for the language. A model that knows no other is sure of English."""
    language, probability = "en", 1.0
    if loop.engine.card.multilingual:
        detector = LanguageDetector(loop.engine, loop.request, loop.policy, loop.context)
        language, probability = detector.of_padded_audio_with_probability(loop.recording)
    usage = TokenUsage(_audio_tokens(seconds), 0, 0)
    return TranscriptDelta(language, usage=usage, duration_seconds=seconds, language_probability=probability)


def _audio_tokens(seconds: float) -> int:
    return ceil(_AUDIO_TOKENS_PER_SECOND * seconds)
