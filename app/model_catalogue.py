"""The names that requests may use for a model."""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from app.errors import ModelNotFound

TRANSCRIPTION_MODELS = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
)
SPEECH_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15")
CHAT_MODELS = ("gpt-4o-audio-preview", "gpt-4o-mini-audio-preview", "gpt-audio")

_PATTERNS = (*TRANSCRIPTION_MODELS, "gpt-4o-mini-transcribe-*", *(f"{name}*" for name in CHAT_MODELS))
_SPEECH_PATTERNS = (*SPEECH_MODELS, "gpt-4o-mini-tts-*")


@dataclass(frozen=True)
class ModelCatalogue:
    """The names of the loaded checkpoint and of the synthesizer.

    `aliases` are more names, in which `*` is a wildcard. `own_names()` are the loaded checkpoint's, none
    before it is loaded; `synthesizer_name()` is empty if there is no synthesizer.
    """

    aliases: tuple[str, ...]
    own_names: Callable[[], tuple[str, ...]]
    synthesizer_name: Callable[[], str]

    def names(self) -> tuple[str, ...]:
        """The names to list; requests may use more, which match a pattern."""
        aliases = (name for name in self.aliases if "*" not in name)
        transcribing = (*self.own_names(), *TRANSCRIPTION_MODELS, *CHAT_MODELS, *aliases)
        return tuple(dict.fromkeys((*transcribing, *self.speech_names())))

    def speech_names(self) -> tuple[str, ...]:
        """The names to list of requests for speech; none if there is no synthesizer."""
        synthesizer = self.synthesizer_name()
        return (*SPEECH_MODELS, synthesizer) if synthesizer else ()

    def accepts(self, name: str) -> bool:
        """Whether a request to transcribe may name this model."""
        return name in self.own_names() or self._matches(name, _PATTERNS)

    def require(self, name: str) -> None:
        """Raise ModelNotFound unless requests to transcribe may name this model."""
        if not self.accepts(name):
            raise _no_model(name)

    def require_speech(self, name: str) -> None:
        """Raise ModelNotFound unless requests for speech may name this model."""
        if name != self.synthesizer_name() and not self._matches(name, _SPEECH_PATTERNS):
            raise _no_model(name)

    def _matches(self, name: str, patterns: tuple[str, ...]) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in (*patterns, *self.aliases))


def _no_model(name: str) -> ModelNotFound:
    return ModelNotFound(f"The model `{name}` does not exist or you do not have access to it.", param="model")
