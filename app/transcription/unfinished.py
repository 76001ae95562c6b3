"""The text of an utterance that isn't over: one window, decoded on from what is known of it.

Nothing here is a transcript: the window is decoded once, at the first temperature. What a transcription would
reject, or skip as silence, is no text yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from app.engines.interface import (
    FRAMES_PER_SECOND,
    Engine,
    Tokenizer,
    Window,
    WindowOptions,
    WindowResult,
    WordTiming,
)
from app.request_context import RequestContext
from app.transcription.fallback import at_temperature, is_silence, needs_fallback, runs_on
from app.transcription.language import LanguageDetector
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.window_loop import OpenAudio
from app.transcription.windows import PreviousText, short_context

_MOST_TOKENS = 8
_MOST_TOKENS_PER_SECOND = 12.0
"""More than anybody says. Without a limit a text that repeats itself would take many times the time."""


@dataclass(frozen=True)
class KnownText:
    """What is known of a window: the tokens of the windows before it, its own first ones, and its language.

    Tokens are the decoder's, with timestamps. `prefix_seconds` is how much of the window they are. `language`
    None: it is detected.
    """

    previous: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()
    prefix_seconds: float = 0.0
    language: str | None = None

    def unknown_seconds(self, window: Window) -> float:
        """How much of a window comes after the prefix."""
        return max(0.0, window.frames / FRAMES_PER_SECOND - self.prefix_seconds)


@dataclass(frozen=True)
class UnfinishedText:
    """A window's tokens, timestamps included; and the words of its text tokens, in order and in seconds from
    the window's start.
    """

    tokens: tuple[int, ...]
    words: tuple[WordTiming, ...]
    language: str
    tokenizer: Tokenizer

    def end_seconds(self, tokens: Sequence[int]) -> float:
        """When the last word of the window's first `tokens` ends; 0.0 without any."""
        count = sum(token < self.tokenizer.eot for token in tokens)
        starts = accumulate((len(word.tokens) for word in self.words), initial=0)
        begun = (word.end_seconds for word, start in zip(self.words, starts, strict=False) if start < count)
        return max(begun, default=0.0)


@dataclass(frozen=True)
class UnfinishedListener:
    """Hears windows with the options of one request."""

    engine: Engine
    request: TranscriptionRequest
    policy: Policy
    context: RequestContext

    def hear(self, audio: OpenAudio, known: KnownText) -> UnfinishedText | None:
        """The text of at most 30 s of audio; None if there is none yet, or no language is likely enough.

        Raises RequestTimeout, ClientGone, EngineFailure.
        """
        if not self.policy.worth_decoding(audio.samples):
            return None
        window, language = self._window(audio), known.language
        if not self.engine.card.multilingual:
            language = "en"
        elif language is None:
            detector = LanguageDetector(self.engine, self.request, self.policy, self.context)
            (language, window), sure = detector.own(window)
            if not sure:
                return None
        tokenizer = self.engine.tokenizer(language, self.request.task)
        options = self._options(replace(known, language=language), window, tokenizer)
        result = self.context.wait(self.engine.submit(window, options))
        if self._is_doubtful(result, window, tokenizer):
            return None
        text_tokens = [token for token in result.tokens if token < tokenizer.eot]
        words = self.context.wait(self.engine.align(window, text_tokens, language, self.request.task))
        return UnfinishedText(result.tokens, tuple(words), language, tokenizer)

    def _window(self, audio: OpenAudio) -> Window:
        """Its context is short whatever the transcript's will be: an update costs a third, so more follow."""
        frames = audio.recording.frames
        return Window(audio.recording, 0, frames, short_context(frames))

    def _options(self, known: KnownText, window: Window, tokenizer: Tokenizer) -> WindowOptions:
        request = self.request
        previous = PreviousText.of(request, tokenizer, self.engine.card.text_context)
        previous.extend(known.previous)
        options = WindowOptions(
            **vars(request.decoding),
            task=request.task,
            language=known.language,
            prompt=previous.prompt(),
            prefix=known.prefix,
            sample_len=_MOST_TOKENS + round(_MOST_TOKENS_PER_SECOND * known.unknown_seconds(window)),
        )
        return at_temperature(options, request.temperatures[0])

    def _is_doubtful(self, result: WindowResult, window: Window, tokenizer: Tokenizer) -> bool:
        """Whether a transcription would decode the window again, or skip it."""
        if needs_fallback(result, self.request) or is_silence(result, self.request):
            return True
        return window.is_short and runs_on(result.tokens, tokenizer.timestamp_begin, window.frames)
