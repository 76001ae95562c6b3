"""The reasons for refusing an audio file: codes, which decoder processes send, and the error of each.

Only the worker turns codes into errors with messages.
"""

from enum import StrEnum
from math import isfinite

from app.errors import AudioTooLong, AudioTooShort, InvalidRequest, UndecodableAudio
from app.waveform.audio_limits import HIGHEST_RATE, LOWEST_RATE, MAX_CHANNELS, AudioLimits

UNDECODABLE = "The audio file could not be decoded or its format is not supported."


class RefusalCode(StrEnum):
    """What is wrong with a file. Comments give the code's number."""

    UNDECODABLE = "undecodable"
    REFERS_TO_A_FILE = "refers_to_a_file"
    NO_AUDIO_TRACK = "no_audio_track"
    SAMPLE_RATE = "sample_rate"  # in Hz
    CHANNELS = "channels"  # how many
    TOO_SHORT = "too_short"
    DECLARED_TOO_LONG = "declared_too_long"  # the seconds that the file declares
    TOO_LONG = "too_long"  # the seconds allowed for this many channels
    TOO_SLOW = "too_slow"


class AudioRefused(Exception):
    """A file is refused. `number` is that of its code, 0 where the code has none."""

    def __init__(self, code: RefusalCode, number: float = 0) -> None:
        super().__init__(code, number)
        self.code = code
        self.number = number


_SENTENCES: dict[RefusalCode, tuple[type[InvalidRequest], str]] = {
    RefusalCode.UNDECODABLE: (UndecodableAudio, UNDECODABLE),
    RefusalCode.REFERS_TO_A_FILE: (UndecodableAudio, f"{UNDECODABLE} It refers to another file."),
    RefusalCode.NO_AUDIO_TRACK: (
        UndecodableAudio,
        "The audio file could not be decoded: it has no audio track.",
    ),
    RefusalCode.SAMPLE_RATE: (
        UndecodableAudio,
        "Sample rate {number:.0f} Hz is not supported. "
        f"It must be from {LOWEST_RATE} to {HIGHEST_RATE} Hz.",
    ),
    RefusalCode.CHANNELS: (
        UndecodableAudio,
        f"{{number:.0f}} channels are not supported. There must be 1 to {MAX_CHANNELS}.",
    ),
    RefusalCode.TOO_SHORT: (
        AudioTooShort,
        "Audio file is too short. Minimum audio length is 0.1 seconds.",
    ),
    RefusalCode.DECLARED_TOO_LONG: (
        AudioTooLong,
        "Audio duration {number:.1f} seconds is longer than {limits.max_seconds:g} seconds, {limits.why}",
    ),
    RefusalCode.TOO_LONG: (
        AudioTooLong,
        "Audio duration is longer than {number:g} seconds, {limits.why}",
    ),
    RefusalCode.TOO_SLOW: (
        AudioTooLong,
        "Decoding the audio file takes longer than {limits.read_seconds:g} seconds, "
        "which is the maximum for this server (WHISPER_DECODE_SECONDS).",
    ),
}


def audio_error(code: RefusalCode, limits: AudioLimits, number: float = 0) -> InvalidRequest:
    """The error for a file that is refused under these limits.

    Raises ValueError, TypeError or OverflowError unless `number` is a finite number.
    """
    if not isfinite(number):
        raise ValueError(f"{number} is no number of a refusal")
    kind, sentence = _SENTENCES[code]
    return kind(sentence.format(number=number, limits=limits), param="file")
