"""The text of an utterance that isn't over: one window, decoded on from what is known of it.

Nothing here is a transcript: the window is decoded once, at the first temperature. What a transcription would
reject, or skip as silence, is no text yet.
"""

from dataclasses import dataclass, replace

from app.engines.interface import WINDOW_POSITIONS, Engine, Tokenizer, Window, WindowOptions, WordTiming
from app.request_context import RequestContext
from app.transcription.fallback import Decoded, decode_with_fallback, is_silence, needs_fallback
from app.transcription.language import LanguageDetector
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.window_loop import OpenAudio
from app.transcription.windows import PreviousText, short_context


@dataclass(frozen=True)
class KnownText:
    """What is known of a window: the tokens of the windows before it, its own first ones, and its language.

    Tokens are the decoder's, with timestamps. `language` None: it is detected.
    """

    previous: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()
    language: str | None = None


@dataclass(frozen=True)
class UnfinishedText:
    """A window's tokens, timestamps included; and the words of its text tokens, in order and in seconds from
    the window's start.
    """

    tokens: tuple[int, ...]
    words: tuple[WordTiming, ...]
    language: str
    tokenizer: Tokenizer


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
        window, result = self._decode(window, replace(known, language=language))
        if needs_fallback(result, self.request) or is_silence(result, self.request):
            return None
        tokenizer = self.engine.tokenizer(language, self.request.task)
        text_tokens = [token for token in result.tokens if token < tokenizer.eot]
        words = self.context.wait(self.engine.align(window, text_tokens, language, self.request.task))
        return UnfinishedText(result.tokens, tuple(words), language, tokenizer)

    def _window(self, audio: OpenAudio) -> Window:
        frames = audio.recording.frames
        shortens = self.policy.shortens(self.request)
        return Window(audio.recording, 0, frames, short_context(frames) if shortens else WINDOW_POSITIONS)

    def _decode(self, window: Window, known: KnownText) -> Decoded:
        """Once at the first temperature; if a short context's result is doubtful, once more in full."""
        request, card = self.request, self.engine.card
        previous = PreviousText.of(
            request, self.engine.tokenizer(known.language, request.task), card.text_context
        )
        previous.extend(known.previous)
        options = WindowOptions(
            **vars(request.decoding),
            task=request.task,
            language=known.language,
            prompt=previous.prompt(),
            prefix=known.prefix,
        )
        once = replace(request, temperatures=request.temperatures[:1])
        return decode_with_fallback(self.engine, window, options, once, self.context)
