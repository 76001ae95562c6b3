"""Text -> speech. A synthesizer is imported only when it is started, and a server may have none."""

from importlib import import_module

from app.errors import SpeechUnavailable, StartError, listed
from app.synthesis.interface import Speech, Synthesizer

VOICES = (
    "alloy",
    "ash",
    "ballad",
    "coral",
    "echo",
    "fable",
    "onyx",
    "nova",
    "sage",
    "shimmer",
    "verse",
    "marin",
    "cedar",
)
"""OpenAI's names; every synthesizer has a voice of its own for each."""

SYNTHESIZERS = {"espeak": "app.synthesis.espeak", "piper": "app.synthesis.piper"}
"""Name -> the module whose `start(voice_file)` makes a synthesizer or raises SpeechUnavailable."""


class NullSynthesizer:
    """A synthesizer that can't speak and says why."""

    name = ""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def speak(self, text: str, voice: str, speed: float = 1.0, language: str | None = None) -> Speech:
        """Raises SpeechUnavailable."""
        raise SpeechUnavailable(self._reason)


def start(name: str, voice_file: str) -> Synthesizer:
    """The synthesizer of this name, or a NullSynthesizer where what it needs is not installed.

    Raises StartError for an unknown name.
    """
    if name not in SYNTHESIZERS:
        raise StartError(f"SPEECH_ENGINE is {name!r}; it must be one of {listed(SYNTHESIZERS)}.")
    try:
        synthesizer: Synthesizer = import_module(SYNTHESIZERS[name]).start(voice_file)
    except SpeechUnavailable as error:
        return NullSynthesizer(error.message)
    return synthesizer
