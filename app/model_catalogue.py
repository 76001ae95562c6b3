"""The names that requests may use for a model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from re import compile as pattern

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

_OTHER_STYLES = (
    pattern("openai/(?P<name>whisper-1)"),
    pattern(r"(?:openai/|(?:[\w.-]+/)?faster-)?(?P<kind>distil-)?whisper-(?P<name>.+?)(?:-ct2)?"),
    pattern(r"distil-whisper/(?P<name>distil-.+)"),
)
"""What other servers call a checkpoint: Hugging Face's names, faster-whisper's, Groq's."""
_ELSEWHERE = {"large": "large-v1"}
"""openai-whisper's `large` is large-v3; Hugging Face's is the first one."""


@dataclass(frozen=True)
class ModelCatalogue:
    """The names of the loaded checkpoint and of the synthesizer.

    `aliases` are more names, in which `*` is a wildcard. `own_names()` are the loaded checkpoint's, none
    before it is loaded; `synthesizer_name()` is empty if there is no synthesizer. `listed_names()` are
    those of WHISPER_MODELS, in which `*` is a wildcard too; they count before all others.
    """

    aliases: tuple[str, ...]
    own_names: Callable[[], tuple[str, ...]]
    synthesizer_name: Callable[[], str]
    listed_names: Callable[[], tuple[str, ...]] = tuple

    def names(self) -> tuple[str, ...]:
        """The names to list; requests may use more, which match a pattern."""
        more = (name for name in (*self.listed_names(), *self.aliases) if "*" not in name)
        transcribing = (*self.own_names(), *TRANSCRIPTION_MODELS, *CHAT_MODELS, *more)
        return tuple(dict.fromkeys((*transcribing, *self.speech_names())))

    def speech_names(self) -> tuple[str, ...]:
        """The names to list of requests for speech; none if there is no synthesizer."""
        synthesizer = self.synthesizer_name()
        return (*SPEECH_MODELS, synthesizer) if synthesizer else ()

    def accepts(self, name: str) -> bool:
        """Whether a request to transcribe may name this model, in this server's style or in another's."""
        return self._known(name) or any(map(self._known, _from_other_styles(name)))

    def listed(self, name: str) -> str:
        """The name in WHISPER_MODELS of the model that answers for a name; "" for the first model."""
        spellings = (name, *_from_other_styles(name))
        names = self.listed_names()
        exact = (spelling for spelling in spellings if spelling in names)
        wild = (known for known in names for spelling in spellings if fnmatchcase(spelling, known))
        return next(chain(exact, wild), "")

    def require(self, name: str, deployment: str = "") -> str:
        """The name, if requests to transcribe may use it. Raises ModelNotFound.

        A request to a `deployment` is never refused: that is the name of its model, or else the first
        model answers, since whoever deploys a model at Azure names it as they like.
        """
        return _first_accepted(name, deployment, self.accepts, (*self.own_names(), *TRANSCRIPTION_MODELS))

    def require_speech(self, name: str, deployment: str = "") -> str:
        """The name, if requests for speech may use it. Raises ModelNotFound; deployments as above."""
        return _first_accepted(name, deployment, self._speaks, SPEECH_MODELS)

    def _known(self, name: str) -> bool:
        return name in self.own_names() or self._matches(name, (*self.listed_names(), *_PATTERNS))

    def _speaks(self, name: str) -> bool:
        return name == self.synthesizer_name() or self._matches(name, _SPEECH_PATTERNS)

    def _matches(self, name: str, patterns: tuple[str, ...]) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in (*patterns, *self.aliases))


def _first_accepted(
    name: str, deployment: str, accepts: Callable[[str], bool], models: tuple[str, ...]
) -> str:
    accepted = [each for each in (name, deployment) if each and accepts(each)]
    if not accepted and not deployment:
        raise no_model(f"The model `{name}` does not exist or you do not have access to it.")
    return (*accepted, *models)[0]


def _from_other_styles(name: str) -> Iterator[str]:
    """What a name of another server's may be called here."""
    for style in _OTHER_STYLES:
        if found := style.fullmatch(name):
            parts = found.groupdict()
            yield (parts.get("kind") or "") + _ELSEWHERE.get(parts["name"], parts["name"])


def no_model(sentence: str) -> ModelNotFound:
    """The error for a name that is unknown, which says so in OpenAI's `sentence`."""
    return ModelNotFound(
        f"{sentence} GET /v1/models lists the names that this server knows; WHISPER_MODEL_ALIASES adds more.",
        param="model",
    )
