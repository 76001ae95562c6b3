from math import inf

import pytest

from app.errors import InvalidParameter
from app.transcription.windows import PreviousText, check_time_for_clips, clip_frames


@pytest.mark.parametrize(
    ("seconds", "clips"),
    [
        ((), [(0, 5000)]),
        ((10.0,), [(1000, 5000)]),
        ((0.0, 10.0), [(0, 1000)]),
        ((5.0, 10.0, 20.0), [(500, 1000), (2000, 5000)]),
        ((5.0, 60.0), [(500, 5000)]),
        ((60.0, 70.0), []),
        ((60.0,), []),
        ((5.0, 5.0), []),
    ],
)
def test_clips_stay_within_the_recording(seconds: tuple[float, ...], clips: list[tuple[int, int]]) -> None:
    assert clip_frames(seconds, 5000) == clips


SECONDS = tuple(0.5 * number for number in range(2_048))
"""1,024 clips of half a second each."""


@pytest.mark.parametrize(
    ("seconds", "longest"),
    [
        (SECONDS, inf),
        (SECONDS, 30 * 1_024),
        (SECONDS[:-1], 30 * 1_024),
        ((1.0,) * 2_048, 0.1),
        ((), 0.1),
    ],
    ids=["unknown speed", "just in time", "the last one open", "all empty", "none"],
)
def test_clips_for_which_there_is_time(seconds: tuple[float, ...], longest: float) -> None:
    check_time_for_clips(seconds, longest, 3_600)


@pytest.mark.parametrize(
    ("seconds", "longest"), [(SECONDS, 30 * 1_023.9), (SECONDS[:-1], 30 * 1_023.9), ((0.0, 0.5), 10)]
)
def test_clips_for_which_there_is_no_time(seconds: tuple[float, ...], longest: float) -> None:
    with pytest.raises(InvalidParameter) as caught:
        check_time_for_clips(seconds, longest, 3_600)
    clips = len(seconds) / 2
    assert caught.value.message == (
        f"Invalid 'clip_timestamps': {clips:.0f} clips are at least as many windows of 30 seconds, and this "
        f"server can transcribe {longest // 30:.0f} at its present speed within the 3600 seconds that it "
        "allows a request (WHISPER_REQUEST_SECONDS)."
    )
    assert caught.value.param == "clip_timestamps"


def test_the_initial_prompt_comes_first_and_is_part_of_what_follows() -> None:
    previous = PreviousText((1, 2), room=10, carry_initial=False)
    previous.extend([3, 4])
    assert previous.prompt() == (1, 2, 3, 4)
    previous.reset()
    previous.extend([5])
    assert previous.prompt() == (5,)


def test_a_carried_prompt_takes_its_room_from_what_follows() -> None:
    previous = PreviousText((1, 2), room=5, carry_initial=True)
    previous.extend([3, 4, 5, 6])
    assert previous.prompt() == (1, 2, 4, 5, 6)
    previous.reset()
    assert previous.prompt() == (1, 2)
