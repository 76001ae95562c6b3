import pytest

from app.realtime.formats import FORMATS
from app.realtime.input_buffer import InputBuffer

PCM, TELEPHONE = FORMATS["audio/pcm"], FORMATS["audio/pcmu"]


def numbered(milliseconds: int, first: int = 0) -> bytes:
    """Audio in which each millisecond has its number."""
    return b"".join(bytes([number % 256]) * PCM.bytes_per_ms for number in range(first, first + milliseconds))


def test_times_are_of_all_the_audio_that_came() -> None:
    buffer = InputBuffer(PCM)
    buffer.append(numbered(100))
    assert buffer.take(20, 60) == numbered(40, 20)
    assert (buffer.start_ms, buffer.end_ms, buffer.milliseconds) == (60, 100, 40)
    buffer.append(numbered(10, 100))
    assert buffer.take(60, 200) == numbered(50, 60)
    assert (buffer.start_ms, buffer.end_ms) == (110, 110)


def test_what_is_gone_can_not_be_taken() -> None:
    buffer = InputBuffer(PCM)
    buffer.append(numbered(100))
    buffer.take(50, 50)
    assert buffer.take(0, 70) == numbered(20, 50)


def test_half_a_sample_is_forgotten_with_the_rest() -> None:
    buffer = InputBuffer(PCM)
    buffer.append(numbered(10) + b"\1")
    buffer.clear()
    buffer.append(numbered(5))
    assert buffer.take_all() == numbered(5)
    assert buffer.end_ms == 15


@pytest.mark.parametrize("held_ms", [0, 30])
def test_another_format_goes_on_with_the_clock(held_ms: int) -> None:
    buffer = InputBuffer(PCM)
    buffer.append(numbered(50 + held_ms))
    buffer.take(0, 50)
    buffer.change_format(TELEPHONE)
    assert (buffer.start_ms, buffer.end_ms) == (50 + held_ms, 50 + held_ms)
    buffer.append(bytes(8 * 20))
    assert buffer.end_ms == 70 + held_ms
