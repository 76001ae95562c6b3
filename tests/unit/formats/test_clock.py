import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper.utils import format_timestamp

from app.formats.clock import timestamp


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "00:00:00,000"),
        (0.0004, "00:00:00,000"),
        (1.5, "00:00:01,500"),
        (59.9994, "00:00:59,999"),
        (59.9996, "00:01:00,000"),
        (3599.9996, "01:00:00,000"),
        (3661.001, "01:01:01,001"),
        (99 * 3600 + 59 * 60 + 59.9996, "100:00:00,000"),
        (-0.004, "00:00:00,000"),
        (7, "00:00:07,000"),
    ],
)
def test_rounds_the_whole_and_always_shows_hours(seconds: float, written: str) -> None:
    assert timestamp(seconds, ",") == written


def test_puts_the_mark_it_is_given() -> None:
    assert timestamp(1.25, ".") == "00:00:01.250"


@given(st.floats(min_value=0, max_value=1e6))
def test_equals_openai_whispers_clock_with_hours(seconds: float) -> None:
    expected = format_timestamp(seconds, always_include_hours=True, decimal_marker=".")
    assert timestamp(seconds, ".") == expected
