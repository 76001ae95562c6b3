"""espeak-ng: a small, robotic synthesizer with a hundred languages."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from select import select
from threading import BoundedSemaphore
from unicodedata import category

import numpy as np

from app.environment import bare_environ
from app.errors import ServerBusy, SpeechUnavailable, SynthesisFailure, UnsupportedValue
from app.synthesis import espeak_process
from app.synthesis.interface import Speech
from app.synthesis.scripts import language_of
from app.waveform import Pcm
from app.waveform.tempo import at_tempo

_ROOT = Path(__file__).resolve().parents[2]
_AT_A_TIME = 8
_TURN_SECONDS = 30.0
_SILENT_SECONDS = 30.0
"""The longest wait for the next block; a whole text takes under a second."""
_BLOCK_BYTES = 32 * 1024
_SLOWEST = 80
"""The slowest speed of espeak-ng, in words per minute."""

_OWN_CODES = {"en": "en-us", "zh": "cmn", "no": "nb", "nn": "nb", "jw": "id", "tl": "id"}
"""Whisper's code of a language -> espeak-ng's, or that of the most similar language that it has."""


@dataclass(frozen=True)
class VoicePreset:
    """espeak-ng's parameters of one voice: variant, speed, pitch and pitch range (0 to 99)."""

    variant: str
    words_per_minute: int = 165
    pitch: int = 50
    pitch_range: int = 50


VOICE_PRESETS = {
    "alloy": VoicePreset("f3", 160),
    "ash": VoicePreset("m3", 160, 40),
    "ballad": VoicePreset("m7", 145, 55, 70),
    "coral": VoicePreset("f2", 165, 60),
    "echo": VoicePreset("m1", 165, 45),
    "fable": VoicePreset("m4", 160, 60, 60),
    "onyx": VoicePreset("m2", 150, 20, 35),
    "nova": VoicePreset("f4", 175, 55, 65),
    "sage": VoicePreset("f1", 155, 45, 40),
    "shimmer": VoicePreset("f5", 165, 70, 60),
    "verse": VoicePreset("m6", 175, 50, 60),
    "marin": VoicePreset("f3", 170, 75, 70),
    "cedar": VoicePreset("m5", 155, 30, 50),
}
"""OpenAI's voices, which sound different from each other."""


def start(voice_file: str) -> "Espeak":
    """espeak-ng from its pip package. Raises SpeechUnavailable where that is missing."""
    try:
        import espeakng_loader  # noqa: PLC0415, optional
    except ImportError:
        raise SpeechUnavailable(
            "This server can't speak: the package espeakng-loader is not installed. "
            "Install it with: pip install -r requirements.txt"
        ) from None
    return Espeak(Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path()))


class Espeak:
    """A Synthesizer. Each text is spoken by a process of its own, which gets nothing but the text."""

    name = "espeak"

    def __init__(self, library: Path, data: Path, program: str = espeak_process.__file__) -> None:
        self._command = [sys.executable, "-s", "-S", "-P", program, str(library), str(data)]
        self._slots = BoundedSemaphore(_AT_A_TIME)

    def speak(self, text: str, voice: str, speed: float = 1.0, language: str | None = None) -> Speech:
        """Say a text; see Synthesizer."""
        language = language or language_of(text)
        preset = VOICE_PRESETS[voice]
        pace = preset.words_per_minute * speed
        with ExitStack() as held:
            self._acquire_slot(held)
            process = self._process(preset, language, max(_SLOWEST, round(pace)))
            held.callback(_kill, process)
            output = _Output(process)
            rate = _start_speaking(process, output, text, language)
            blocks = output.blocks()
            if pace < _SLOWEST:
                blocks = at_tempo(blocks, rate, pace / _SLOWEST)
            return Speech(rate, blocks, held.pop_all().close)

    def _acquire_slot(self, held: ExitStack) -> None:
        if not self._slots.acquire(timeout=_TURN_SECONDS):
            raise ServerBusy("The server is speaking for others. Please retry.", retry_after_seconds=1)
        held.callback(self._slots.release)

    def _process(self, preset: VoicePreset, language: str, pace: int) -> "subprocess.Popen[bytes]":
        voice = f"{_OWN_CODES.get(language, language)}+{preset.variant}"
        settings = [str(pace), str(preset.pitch), str(preset.pitch_range)]
        try:
            return subprocess.Popen(
                [*self._command, voice, *settings],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=bare_environ(PYTHONPATH=str(_ROOT)),
            )
        except OSError as error:
            raise SynthesisFailure("The text could not be spoken.") from error


class _Output:
    """A process's standard output."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        self._process = process
        self._pipe = process.stdout.fileno()

    def read(self, size: int) -> bytes:
        """At most `size` bytes, b"" at the end. Raises SynthesisFailure after a time-out."""
        if not select([self._pipe], [], [], _SILENT_SECONDS)[0]:
            raise SynthesisFailure("The text could not be spoken in time.")
        return os.read(self._pipe, size)

    def blocks(self) -> Iterator[Pcm]:
        """All 16-bit samples. Raises SynthesisFailure if the process fails."""
        odd = b""
        while data := self.read(_BLOCK_BYTES):
            data = odd + data
            whole = len(data) // 2 * 2
            odd = data[whole:]
            if whole:
                yield np.frombuffer(data[:whole], np.int16)
        if self._process.wait():
            raise SynthesisFailure("The text could not be spoken to its end.")


def _start_speaking(process: "subprocess.Popen[bytes]", output: _Output, text: str, language: str) -> int:
    """Send the text to the process and read the sample rate. Raises UnsupportedValue, SynthesisFailure."""
    assert process.stdin is not None
    # This can't block: the process reads all of it first, and 4096 characters fit into the pipe.
    with suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(_printable(text).encode("utf-8", "replace"))
    if rate := int.from_bytes(output.read(4), sys.byteorder):
        return rate
    if process.wait() == espeak_process.UNKNOWN_VOICE:
        raise UnsupportedValue(
            f"Invalid 'language': {language!r} is not among the languages that espeak-ng speaks.",
            param="language",
        )
    raise SynthesisFailure("The text could not be spoken.")


def _printable(text: str) -> str:
    """The text with blanks for control characters; a NUL would end it."""
    return "".join(" " if category(character) == "Cc" else character for character in text)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill the process and close its pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
