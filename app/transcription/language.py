"""Language detection."""

from operator import itemgetter
from typing import NamedTuple, Protocol

from app.engines.interface import WINDOW_FRAMES, Engine, Recording, Window
from app.errors import InvalidLanguage
from app.request_context import RequestContext
from app.transcription.request import Policy, TranscriptionRequest

SURE_ENOUGH = 0.5
"""The probability from which on a language is taken from a part of a recording."""


def check_languages(engine: Engine, request: TranscriptionRequest) -> None:
    """Raise InvalidLanguage for a language that Whisper supports and this checkpoint doesn't."""
    if not engine.card.multilingual:
        return
    named = {"language": (request.language,) if request.language else (), "languages": request.languages}
    for param, languages in named.items():
        for language in languages:
            if language not in engine.card.languages:
                raise InvalidLanguage(
                    f"Invalid language '{language}'. The model {engine.card.name} was not trained on it.",
                    param=param,
                )


class Detected(NamedTuple):
    """A window's language, and the window to decode: in full if a short context left the language unsure."""

    language: str
    window: Window


class Detector(Protocol):
    """Tells a WindowLoop the language, once."""

    def of(self, window: Window) -> Detected:
        """The language of a window that is about to be decoded."""

    def of_padded_audio(self, recording: Recording) -> str:
        """The language of a recording of which no window was decoded."""


class LanguageDetector:
    """Detects the language of a recording from its features.

    openai-whisper pads the first 30 s of samples with silence to detect the language, but the log-mel with
    0.0 to decode. For a full first window both are the same features. Otherwise the features of the window
    that is decoded anyway are used, which saves encoding twice, unless the probability is under SURE_ENOUGH
    or the policy is strict.
    """

    def __init__(
        self, engine: Engine, request: TranscriptionRequest, policy: Policy, context: RequestContext
    ) -> None:
        self._engine = engine
        self._languages = request.languages
        self._strict = policy.strict
        self._context = context

    def of(self, window: Window) -> Detected:
        """The language of a window that is about to be decoded."""
        is_full_start = window.seek == 0 and window.frames == WINDOW_FRAMES
        if is_full_start or not self._strict:
            detected, sure = self.own(window)
            if is_full_start or sure:
                return detected
            window = detected.window
        return Detected(self.of_padded_audio(window.recording), window)

    def own(self, window: Window) -> tuple[Detected, bool]:
        """A window's own language, and whether that is sure."""
        language, probability = self.most_likely(window)
        if probability < SURE_ENOUGH and window.is_short:
            window = window.in_full()
            language, probability = self.most_likely(window)
        return Detected(language, window), probability >= SURE_ENOUGH

    def of_padded_audio(self, recording: Recording) -> str:
        """The language of the first 30 s, the way openai-whisper finds it."""
        return self.of_padded_audio_with_probability(recording)[0]

    def of_padded_audio_with_probability(self, recording: Recording) -> tuple[str, float]:
        """The same, and how likely it is."""
        return self.most_likely(Window(recording, 0, WINDOW_FRAMES))

    def most_likely(self, window: Window) -> tuple[str, float]:
        """The best candidate and its probability among the candidates."""
        all_languages = self._context.wait(self._engine.detect_language(window))
        candidates = {code: all_languages.get(code, 0.0) for code in self._languages} or all_languages
        best, probability = max(candidates.items(), key=itemgetter(1))
        return best, probability / (sum(candidates.values()) or 1.0)
