"""The sentence of every code, as callers read it."""

import pytest

from app.errors import AudioTooLong, AudioTooShort, InvalidRequest, UndecodableAudio
from app.waveform.audio_limits import AudioLimits
from app.waveform.audio_refusals import RefusalCode, audio_error

LIMITS = AudioLimits(max_seconds=600, read_seconds=2.5, why="and that {is} {limits} a pity.")

SENTENCES: dict[RefusalCode, tuple[float, type[InvalidRequest], str]] = {
    RefusalCode.UNDECODABLE: (
        0,
        UndecodableAudio,
        "The audio file could not be decoded or its format is not supported.",
    ),
    RefusalCode.REFERS_TO_A_FILE: (
        0,
        UndecodableAudio,
        "The audio file could not be decoded or its format is not supported. It refers to another file.",
    ),
    RefusalCode.NO_AUDIO_TRACK: (
        0,
        UndecodableAudio,
        "The audio file could not be decoded: it has no audio track.",
    ),
    RefusalCode.SAMPLE_RATE: (
        2_000_000_000,
        UndecodableAudio,
        "Sample rate 2000000000 Hz is not supported. It must be from 4000 to 384000 Hz.",
    ),
    RefusalCode.CHANNELS: (
        17,
        UndecodableAudio,
        "17 channels are not supported. There must be 1 to 16.",
    ),
    RefusalCode.TOO_SHORT: (
        0,
        AudioTooShort,
        "Audio file is too short. Minimum audio length is 0.1 seconds.",
    ),
    RefusalCode.DECLARED_TOO_LONG: (
        36_000.04,
        AudioTooLong,
        "Audio duration 36000.0 seconds is longer than 600 seconds, and that {is} {limits} a pity.",
    ),
    RefusalCode.TOO_LONG: (
        75.0,
        AudioTooLong,
        "Audio duration is longer than 75 seconds, and that {is} {limits} a pity.",
    ),
    RefusalCode.TOO_SLOW: (
        0,
        AudioTooLong,
        "Decoding the audio file takes longer than 2.5 seconds, "
        "which is the maximum for this server (WHISPER_DECODE_SECONDS).",
    ),
}


@pytest.mark.parametrize("code", RefusalCode)
def test_every_code_has_its_sentence(code: RefusalCode) -> None:
    number, kind, sentence = SENTENCES[code]
    error = audio_error(code, LIMITS, number)
    assert (type(error), error.message, error.param) == (kind, sentence, "file")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), "1", None, [1], 10**400], ids=repr)
def test_what_is_no_number_makes_no_sentence(number: float) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        audio_error(RefusalCode.SAMPLE_RATE, LIMITS, number)
