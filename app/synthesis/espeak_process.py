"""Speaks one text from stdin through libespeak-ng, in a process of its own.

The library keeps its state in globals, may crash on odd input, and has another licence, so it is never
loaded into the server. The file is run by its path and imports only the standard library and
`app.confinement` (the repository's root is in PYTHONPATH), so that it starts fast:

    python -s -S -P espeak_process.py LIBRARY DATA VOICE WORDS_PER_MINUTE PITCH PITCH_RANGE < text

Writes the sample rate as four bytes, then 16-bit mono samples as they are synthesized, all in the
machine's byte order. Exits with 3 for an unknown voice, 4 if the library doesn't work.
"""

import ctypes
import os
import sys
from collections.abc import Callable

from app.confinement import confine, filter_system_calls, limit_cpu

UNKNOWN_VOICE = 3
BROKEN_LIBRARY = 4

_CPU_SECONDS = 60
_MEMORY_BYTES = 256 << 20
_BLOCK_MILLISECONDS = 200
# Names and numbers of espeak-ng/speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_RATE, _PITCH, _RANGE = 1, 3, 4
_CHARS_UTF8 = 1
_POS_CHARACTER = 1

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


def _write(data: bytes) -> None:
    """Write all of it. Ends the process if the server has closed the pipe."""
    while data:
        try:
            data = data[os.write(1, data) :]
        except OSError:
            os._exit(0)


def _receive(samples: int | None, count: int, _events: int | None) -> int:
    if samples and count > 0:
        _write(ctypes.string_at(samples, 2 * count))
    return 0


def speak(library: ctypes.CDLL, receive: object, arguments: list[str]) -> int:
    """Speak stdin; the exit code. `receive` gets the samples."""
    data_path, voice, *settings = arguments
    text = sys.stdin.buffer.read() + b"\0"
    rate = library.espeak_Initialize(
        _AUDIO_OUTPUT_SYNCHRONOUS, _BLOCK_MILLISECONDS, data_path.encode(), _INITIALIZE_DONT_EXIT
    )
    if rate <= 0:
        return BROKEN_LIBRARY
    if library.espeak_SetVoiceByName(voice.encode()):
        return UNKNOWN_VOICE
    for parameter, value in zip((_RATE, _PITCH, _RANGE), settings, strict=True):
        library.espeak_SetParameter(parameter, int(value), 0)
    library.espeak_SetSynthCallback(receive)
    _write(rate.to_bytes(4, sys.byteorder))
    failed = library.espeak_Synth(text, len(text), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
    return BROKEN_LIBRARY if failed else 0


def main(arguments: list[str], work: Callable[[ctypes.CDLL, object, list[str]], int] = speak) -> int:
    """Confine the process, then do the work with the library; returns the exit code."""
    confine(_MEMORY_BYTES, file_bytes=0)
    limit_cpu(_CPU_SECONDS)
    library = ctypes.CDLL(arguments[0])
    receive = _Callback(_receive)  # needs executable memory, which the filter refuses
    filter_system_calls()
    return work(library, receive, arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
