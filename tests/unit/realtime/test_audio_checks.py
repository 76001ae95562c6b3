from base64 import b64encode

import pytest

from app.errors import InvalidParameter
from app.realtime.audio_checks import (
    MOST_AUDIO_BYTES,
    MOST_BUFFERED_MS,
    check_length,
    check_room,
    decoded_audio,
    samples_in,
)
from app.realtime.formats import FORMATS
from app.realtime.input_audio import InputAudio

PCM, TELEPHONE = FORMATS["audio/pcm"], FORMATS["audio/pcmu"]


def audio(milliseconds: float) -> InputAudio:
    held = InputAudio(TELEPHONE, None)
    assert not list(held.append(bytes(round(8 * milliseconds))))
    return held


def test_base64() -> None:
    assert decoded_audio(b64encode(b"audio").decode()) == b"audio"


@pytest.mark.parametrize("text", ["data:audio/pcm;base64,AAAA", "AAA", "AA AA!", "ä"])
def test_what_is_no_base64(text: str) -> None:
    with pytest.raises(InvalidParameter, match="base64") as caught:
        decoded_audio(text)
    assert caught.value.param == "audio"


def test_too_much_in_one_event() -> None:
    assert len(decoded_audio("A" * (MOST_AUDIO_BYTES // 3 * 4))) == MOST_AUDIO_BYTES
    with pytest.raises(InvalidParameter, match=f"at most {MOST_AUDIO_BYTES} bytes"):
        decoded_audio("A" * (MOST_AUDIO_BYTES // 3 * 4 + 4))


@pytest.mark.parametrize(("size", "samples"), [(0, 0), (1, 1), (48, 16), (49, 17), (48_000, 16_000)])
def test_samples_are_rounded_up(size: int, samples: int) -> None:
    assert samples_in(PCM, size) == samples


def test_the_buffer_has_an_end() -> None:
    held = audio(1_000)
    check_room(held, 8 * (MOST_BUFFERED_MS - 1_000))
    with pytest.raises(InvalidParameter, match=r"holds 1\.0 seconds, and 599\.0 more") as caught:
        check_room(held, 8 * (MOST_BUFFERED_MS - 1_000) + 1)
    assert caught.value.code == "input_audio_buffer_full"


def test_a_tenth_of_a_second_can_be_committed() -> None:
    check_length(audio(100))
    with pytest.raises(InvalidParameter, match=r"only has 99\.88ms") as caught:
        check_length(audio(99.875))
    assert caught.value.code == "input_audio_buffer_commit_empty"
