"""`keep_alive`, as Ollama has it: for how long a model stays loaded after a request."""

import re
from math import inf

from app.errors import InvalidParameter

_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)"
_DURATION = re.compile(rf"[+-]?(?:{_PART})+")
_NUMBER = re.compile(r"[+-]?[0-9]+\.?[0-9]*")
_LONGEST_SECONDS = 1e9
"""More is for ever: timers don't take any number."""


def keep_alive_seconds(value: float | str) -> float:
    """Seconds, from a number, digits, or a duration such as `10m` or `1h30m`. Less than 0 is for ever, inf.

    Raises InvalidParameter.
    """
    seconds = _seconds(value) if isinstance(value, str) else float(value)
    return inf if seconds < 0 or seconds > _LONGEST_SECONDS else seconds


def _seconds(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        raise InvalidParameter(
            f"Invalid 'keep_alive': {text[:80]!r}. Expected seconds, such as 300, or a duration, such as "
            "'10m', '1h30m' or '-1' (for ever).",
            param="keep_alive",
        )
    seconds = sum(float(count) * _UNIT_SECONDS[unit] for count, unit in re.findall(_PART, text))
    return -seconds if text.startswith("-") else seconds
