"""piper: natural voices, from a file that the operator provides."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import SpeechUnavailable, StartError, UnsupportedValue
from app.synthesis import VOICES
from app.synthesis.interface import Speech
from app.waveform import Pcm

if TYPE_CHECKING:
    from piper import PiperVoice, SynthesisConfig

_PITCHES = (1.0, 0.94, 1.03, 1.07, 0.91, 1.1, 0.86, 1.05, 0.97, 1.14, 1.01, 1.12, 0.88)
"""The pitch of each of VOICES, for a voice file with one speaker. The first is the file's own."""


def start(voice_file: str) -> "Piper":
    """Load a voice. Raises SpeechUnavailable without piper, StartError without a voice that loads."""
    try:
        from piper import PiperVoice  # noqa: PLC0415, optional
    except ImportError:
        raise SpeechUnavailable(
            "This server can't speak: SPEECH_ENGINE is 'piper', which is not installed. "
            "Install it with: pip install -r requirements-piper.txt"
        ) from None
    if not voice_file:
        raise StartError("SPEECH_ENGINE is 'piper'; set SPEECH_VOICE to a voice file (.onnx).")
    try:
        return Piper(PiperVoice.load(Path(voice_file).expanduser()))
    except OSError as error:
        raise StartError(
            f"SPEECH_VOICE is {voice_file!r}, and {error.filename or 'it'} can't be read ({error.strerror}). "
            "A voice is two files, NAME.onnx and NAME.onnx.json."
        ) from error
    except Exception as error:  # onnxruntime's errors have no common base
        raise StartError(f"SPEECH_VOICE is {voice_file!r}, which is no voice of piper's: {error}") from error


class Piper:
    """A Synthesizer. The voice is loaded once and runs in the requests' threads."""

    name = "piper"

    def __init__(self, voice: "PiperVoice") -> None:
        self._voice = voice

    def speak(self, text: str, voice: str, speed: float = 1.0, language: str | None = None) -> Speech:
        """Say a text, sentence by sentence; see Synthesizer."""
        self._check(language)
        number, speakers = VOICES.index(voice), self._voice.config.num_speakers
        pitch = _PITCHES[number] if speakers == 1 else 1.0
        settings = self._settings(speed, pitch, number % speakers if speakers > 1 else None)
        # A higher rate raises the pitch and shortens the speech, which _settings has lengthened by as much.
        rate = round(self._voice.config.sample_rate * pitch)
        return Speech(rate, self._blocks(text.replace("[[", "[ ["), settings), close=lambda: None)

    def _check(self, language: str | None) -> None:
        own = self._voice.config.espeak_voice
        if language and own.partition("-")[0] != language:
            raise UnsupportedValue(
                f"Invalid 'language': {language!r} is not what this server's voice speaks, which is {own!r}.",
                param="language",
            )

    def _settings(self, speed: float, pitch: float, speaker: int | None) -> "SynthesisConfig":
        from piper import SynthesisConfig  # noqa: PLC0415, optional

        own = self._voice.config.length_scale
        return SynthesisConfig(speaker_id=speaker, length_scale=own * pitch / speed)

    def _blocks(self, text: str, settings: "SynthesisConfig") -> Iterator[Pcm]:
        return (chunk.audio_int16_array for chunk in self._voice.synthesize(text, settings))
