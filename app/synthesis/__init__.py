"""Text -> speech. A synthesizer is imported only when it is started. A server may have none."""

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
"""OpenAI's names. Every synthesizer has its own voice for each."""

SYNTHESIZERS = {"espeak": "app.synthesis.espeak", "piper": "app.synthesis.piper"}
"""Name -> the module whose `start(voice_file)` makes a synthesizer or raises SpeechUnavailable."""


class NullSynthesizer:
    """The synthesizer of a server that has none. `reason` is the error message."""

    name = ""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def speak(self, text: str, voice: str, speed: float = 1.0, language: str | None = None) -> Speech:
        """Raises SpeechUnavailable."""
        raise SpeechUnavailable(self._reason)


def start(name: str, voice_file: str) -> Synthesizer:
    """The synthesizer of this name, or a NullSynthesizer if its packages are not installed.

    Raises StartError for an unknown name.
    """
    if name not in SYNTHESIZERS:
        raise StartError(f"SPEECH_ENGINE is {name!r}; it must be one of {listed(SYNTHESIZERS)}.")
    try:
        synthesizer: Synthesizer = import_module(SYNTHESIZERS[name]).start(voice_file)
    except SpeechUnavailable as error:
        return NullSynthesizer(error.message)
    return synthesizer
