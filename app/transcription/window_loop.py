"""One pass over a recording, window by window: openai-whisper's loop, over any engine."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from app.engines.interface import (
    FRAMES_PER_SECOND,
    WINDOW_FRAMES,
    WINDOW_POSITIONS,
    Engine,
    Recording,
    Window,
    WindowOptions,
    WindowResult,
)
from app.request_context import RequestContext
from app.scheduling import SchedulingClass
from app.transcript import Segment, TokenLogprob
from app.transcription import hallucination
from app.transcription.fallback import Decoded, at_temperature, decode_with_fallback, is_silence
from app.transcription.hallucination import WindowContext
from app.transcription.language import Detector, LanguageDetector
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.segments import Draft, WindowSegments, cut, last_word_end
from app.transcription.windows import PreviousText, clip_frames, short_context
from app.transcription.words import assign_words
from app.waveform import SAMPLE_RATE, Samples

_HOP = SAMPLE_RATE // FRAMES_PER_SECOND
_MAX_TEMPERATURE_TO_CONDITION = 0.5


@dataclass(frozen=True)
class OpenAudio:
    """16 kHz mono samples `[n]`, and the recording that the engine has made of them."""

    samples: Samples
    recording: Recording

    def window_samples(self, window: Window) -> Samples:
        """The samples of one window, a view."""
        return self.samples[window.seek * _HOP : (window.seek + window.frames) * _HOP]


@contextmanager
def open_audio(
    engine: Engine,
    samples: Samples,
    context: RequestContext,
    scheduling_class: SchedulingClass | None = None,
) -> Iterator[OpenAudio]:
    """Open samples in the engine. On leaving, the recording is closed, which cancels its windows.

    Without a `scheduling_class` it has the context's. Raises RequestTimeout, ClientGone, EngineFailure.
    """
    recording = engine.open(samples, scheduling_class or context.scheduling_class, context.wait)
    with closing(recording):
        yield OpenAudio(samples, recording)


class WindowLoop:
    """Decodes a recording's clips from start to end. `seek` is the next window's first frame.

    `language` is None until the first window is decoded or the loop has ended.
    """

    def __init__(
        self,
        engine: Engine,
        audio: OpenAudio,
        request: TranscriptionRequest,
        policy: Policy,
        context: RequestContext,
        *,
        detector: Detector | None = None,
    ) -> None:
        self.engine = engine
        self.audio = audio
        self.recording = audio.recording
        self.request = request
        self.policy = policy
        self.context = context
        self.tokenizer = engine.tokenizer(request.language, request.task)
        self.previous = PreviousText.of(request, self.tokenizer, engine.card.text_context)
        self.language = request.language if engine.card.multilingual else "en"
        self.detector = detector or LanguageDetector(engine, request, policy, context)
        self.seek = 0
        self.last_speech_seconds = 0.0
        self.segment_count = 0

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the caller's prompt has."""
        return len(self.previous.initial)

    def segments(self) -> Iterator[Segment]:
        """Every segment of the recording as soon as its window is decoded."""
        for start, end in clip_frames(self.request.clip_seconds, self.recording.frames):
            self.seek = start
            while self.seek < end:
                self.context.check()  # windows that are skipped as silence wait for no future
                yield from self._window(end)
        self.language = self.language or self.detector.of_padded_audio(self.recording)

    def _window(self, end: int) -> Iterator[Segment]:
        """Decode the window at `seek`, advance `seek`, and yield the window's segments."""
        window = self._next_window(end)
        speech = self.policy.worth_decoding(self.audio.window_samples(window))
        decoded = self._decode(window) if speech else None
        if decoded is None or is_silence(decoded.result, self.request):
            self.seek += window.frames
            return
        window, result = decoded
        window_segments = cut(result.tokens, self.tokenizer.timestamp_begin, window.seek, window.frames)
        self.seek += window_segments.advance
        if self.request.word_timestamps and not self._time_words(window, window_segments):
            return
        if self.seek <= window.seek:  # openai-whisper would decode this window for ever
            self.seek = window.seek + window.frames
        if self.request.logprobs:
            self._score(window, window_segments.drafts, result)
        for draft in window_segments.drafts:
            yield self._segment_of(draft, window, result)
        if not self.request.condition_on_previous_text or result.temperature > _MAX_TEMPERATURE_TO_CONDITION:
            self.previous.reset()

    def _next_window(self, end: int) -> Window:
        """The window at `seek`. Its context is short if the request wants that and it has less than 30 s."""
        frames = min(WINDOW_FRAMES, end - self.seek)
        shortens = self.policy.shortens(self.request)
        return Window(
            self.recording, self.seek, frames, short_context(frames) if shortens else WINDOW_POSITIONS
        )

    def _decode(self, window: Window) -> Decoded:
        if self.language is None:
            self.language, window = self.detector.of(window)
        options = self._options(self.language)
        decoded = decode_with_fallback(self.engine, window, options, self.request, self.context)
        if decoded.window.is_short:
            self.context.cost.add_short_context()
        return decoded

    def _options(self, language: str) -> WindowOptions:
        request = self.request
        return WindowOptions(
            **vars(request.decoding), task=request.task, language=language, prompt=self.previous.prompt()
        )

    def _time_words(self, window: Window, window_segments: WindowSegments) -> bool:
        """Give the drafts their words, and set `seek` by them; False if the window must be decoded again."""
        drafts, eot = window_segments.drafts, self.tokenizer.eot
        tokens = [token for draft in drafts for token in draft.tokens if token < eot]
        timings = self.context.wait(self.engine.align(window, tokens, self.language, self.request.task))
        assign_words(drafts, timings, eot, window.seek, self.last_speech_seconds)
        last_end = last_word_end(drafts)
        start = window.seek / FRAMES_PER_SECOND
        if not window_segments.ends_in_silence and last_end is not None and last_end > start:
            self.seek = round(last_end * FRAMES_PER_SECOND)
        if (threshold := self.request.hallucination_silence_threshold) is not None:
            context = WindowContext(window.seek, window.frames, self.recording.frames, threshold)
            if not self._skip_hallucinations(window_segments, context, last_end):
                return False
        last_end = last_word_end(drafts)
        self.last_speech_seconds = self.last_speech_seconds if last_end is None else last_end
        return True

    def _skip_hallucinations(
        self, window_segments: WindowSegments, context: WindowContext, last_end: float | None
    ) -> bool:
        """Drop hallucinated drafts; False if the window must be decoded again, after the leading silence."""
        start = context.start_seconds
        if not window_segments.ends_in_silence and last_end is not None and last_end > start:
            self.seek = hallucination.seek_after_last_word(last_end, context)
        restart = hallucination.leading_silence(window_segments.drafts, context)
        if restart is not None:
            self.seek = restart
            return False
        resumed = hallucination.drop_hallucinations(window_segments.drafts, context, self.last_speech_seconds)
        self.seek = self.seek if resumed is None else resumed
        return True

    def _score(self, window: Window, drafts: list[Draft], result: WindowResult) -> None:
        """Give each draft the log-probabilities of its tokens, which are the window's first ones."""
        assert self.language is not None
        options = at_temperature(self._options(self.language), result.temperature)
        scores = self.context.wait(self.engine.score(window, options, result.tokens))
        rest = iter(scores)
        for draft in drafts:
            draft.scores = [next(rest) for _ in draft.tokens]

    def _logprobs(self, draft: Draft) -> Iterator[TokenLogprob]:
        for token, score in zip(draft.tokens, draft.scores, strict=True):
            if token < self.tokenizer.eot:
                text, raw = self.tokenizer.decode([token]), self.tokenizer.token_bytes(token)
                yield TokenLogprob(text, raw, score)

    def _segment_of(self, draft: Draft, window: Window, result: WindowResult) -> Segment:
        """The segment of a draft. Without text or duration it is empty, but keeps its number."""
        text = self.tokenizer.decode([token for token in draft.tokens if token < self.tokenizer.eot])
        if draft.start_seconds == draft.end_seconds or not text.strip():
            draft, text = replace(draft, tokens=(), words=[], scores=[]), ""
        self.segment_count += 1
        self.previous.extend(draft.tokens)
        return Segment(
            id=self.segment_count - 1,
            seek=window.seek,
            start_seconds=draft.start_seconds,
            end_seconds=draft.end_seconds,
            text=text,
            tokens=draft.tokens,
            temperature=result.temperature,
            avg_logprob=result.avg_logprob,
            compression_ratio=result.compression_ratio,
            no_speech_prob=result.no_speech_prob,
            words=tuple(draft.words),
            logprobs=tuple(self._logprobs(draft)) if draft.scores else (),
            language=self.language or "",
        )
