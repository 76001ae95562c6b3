"""Speech from libespeak-ng, with the times of its words and phonemes, which the program does not tell."""

import ctypes
from dataclasses import dataclass

import numpy as np
from scipy.signal import resample_poly

# Names and numbers of espeak-ng/speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_PHONEME_EVENTS = 1
RATE, PITCH, RANGE, WORDGAP = 1, 3, 4, 7
CHARS_UTF8 = 1
POS_CHARACTER = 1
EVENT_LIST_TERMINATED, EVENT_WORD, EVENT_PHONEME = 0, 1, 7

_NATIVE_TO_16K = (320, 441)  # espeak-ng speaks at 22,050 Hz


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class Voice:
    """A voice of espeak-ng, such as `en-us+f3`, and how it speaks."""

    name: str
    words_per_minute: int = 175
    pitch: int = 50
    pitch_range: int = 50
    word_gap: int = 0


@dataclass(frozen=True)
class Speech:
    """16 kHz samples, the start of each word that the engine told (by its index), and (phoneme, start) pairs.

    Times are seconds. The engine merges some words ("of the"); those after the first are missing.
    """

    samples: np.ndarray
    word_starts: dict[int, float]
    phonemes: list[tuple[str, float]]


class Espeak:
    """The library, loaded and initialised; one in a process, since it keeps its state in globals."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self._library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 500, None, INITIALIZE_PHONEME_EVENTS)
        self._callback = _Callback(
            self._receive
        )  # held here, or it would be collected while the library uses it
        self._library.espeak_SetSynthCallback(self._callback)
        self._clear()

    def speak(self, text: str, voice: Voice) -> Speech:
        """Synthesize one sentence. Raises ValueError for an unknown voice, RuntimeError for no sound."""
        self._clear()
        self._choose(voice)
        encoded = text.encode() + b"\0"
        error = self._library.espeak_Synth(encoded, len(encoded), 0, POS_CHARACTER, 0, CHARS_UTF8, None, None)
        if error or not self._chunks:
            raise RuntimeError(f"espeak-ng said nothing for {text!r} (error {error})")
        samples = np.concatenate(self._chunks).astype(np.float32) / 32768
        resampled = resample_poly(samples, *_NATIVE_TO_16K).astype(np.float32)
        return Speech(resampled, word_starts(text, self._word_events), list(self._phonemes))

    def _choose(self, voice: Voice) -> None:
        if self._library.espeak_SetVoiceByName(voice.name.encode()):
            raise ValueError(f"espeak-ng has no voice {voice.name!r}")
        settings = (
            (RATE, voice.words_per_minute),
            (PITCH, voice.pitch),
            (RANGE, voice.pitch_range),
            (WORDGAP, voice.word_gap),
        )
        for parameter, value in settings:
            self._library.espeak_SetParameter(parameter, value, 0)

    def _clear(self) -> None:
        self._chunks: list[np.ndarray] = []
        self._word_events: list[tuple[int, float]] = []
        self._phonemes: list[tuple[str, float]] = []

    def _receive(
        self, wave: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]"
    ) -> int:
        if wave and count > 0:
            self._chunks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while events[index].type != EVENT_LIST_TERMINATED:
            self._note(events[index])
            index += 1
        return 0

    def _note(self, event: _Event) -> None:
        seconds = event.audio_position / 1000
        if event.type == EVENT_WORD:
            self._word_events.append((event.text_position, seconds))
        elif event.type == EVENT_PHONEME:
            name = bytes(event.id.string).split(b"\0")[0].decode("utf-8", "replace")
            self._phonemes.append((name, seconds))


def word_starts(text: str, events: list[tuple[int, float]]) -> dict[int, float]:
    """(1-based character position, seconds) events -> start times by the index of the word."""
    starts: dict[int, float] = {}
    for position, seconds in events:
        index = max(len(text[:position].split()) - 1, 0)
        starts.setdefault(index, seconds)
    return starts
