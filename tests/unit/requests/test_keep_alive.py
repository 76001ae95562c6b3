"""`keep_alive` in all of Ollama's forms."""

from math import inf

import pytest

from app.errors import InvalidParameter
from app.requests.keep_alive import keep_alive_seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0),
        (300, 300),
        (1.5, 1.5),
        (-1, inf),
        (1e300, inf),
        ("0", 0),
        ("300", 300),
        ("-1", inf),
        ("-1s", inf),
        ("10m", 600),
        ("+10m", 600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("250ms", 0.25),
        ("99999999999999h", inf),
    ],
)
def test_forms(value: float | str, seconds: float) -> None:
    assert keep_alive_seconds(value) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "m", "ten", "10 m", "10x", "10m\n", "1_0m", "nan", "inf", "1e9", "--1", "10mm", "\u0661m", "5m-"],
)
def test_others_are_refused_with_what_is_allowed(value: str) -> None:
    with pytest.raises(InvalidParameter, match="Expected seconds, such as 300, or a duration") as caught:
        keep_alive_seconds(value)
    assert caught.value.param == "keep_alive"
