import pytest

from app.transcription.request import LADDER, temperature_ladder


@pytest.mark.parametrize(
    ("start", "increment", "ladder"),
    [
        (0.0, None, LADDER),
        (0.0, 0.2, LADDER),
        (0.3, None, (0.3,)),
        (0.0, 0.0, (0.0,)),
        (0.6, 0.2, (0.6, 0.8, 1.0)),
        (0.5, 0.3, (0.5, 0.8)),
        (1.0, 0.2, (1.0,)),
        (0.0, 1.0, (0.0, 1.0)),
        (0.0, 0.1, tuple(step / 10 for step in range(11))),
    ],
)
def test_temperature_ladder(start: float, increment: float | None, ladder: tuple[float, ...]) -> None:
    assert temperature_ladder(start, increment) == ladder
