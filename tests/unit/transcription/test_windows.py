import pytest

from app.transcription.windows import PreviousText, clip_frames


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


def test_the_initial_prompt_comes_first_and_is_part_of_what_follows() -> None:
    previous = PreviousText((1, 2), room=10, carry_initial=False)
    previous.extend([3, 4])
    assert previous.prompt() == (1, 2, 3, 4)
    previous.forget()
    previous.extend([5])
    assert previous.prompt() == (5,)


def test_a_carried_prompt_takes_its_room_from_what_follows() -> None:
    previous = PreviousText((1, 2), room=5, carry_initial=True)
    previous.extend([3, 4, 5, 6])
    assert previous.prompt() == (1, 2, 4, 5, 6)
    previous.forget()
    assert previous.prompt() == (1, 2)
