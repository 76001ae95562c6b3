"""What may go over the wire: numbers that JSON knows, text that UTF-8 can hold."""

import json
import math
from collections.abc import Mapping
from typing import Any

_FAR = 1e9  # stands for infinity: beyond any score or time, and exact in every client's number type


def finite(number: float) -> float:
    """The number, or the nearest thing that is legal JSON: 0.0 for NaN, +-1e9 for infinities.

    openai-whisper's results hold NaN where nothing was computed; one NaN makes browsers
    and Node refuse the whole answer.
    """
    if math.isfinite(number):
        return float(number)
    return 0.0 if math.isnan(number) else math.copysign(_FAR, number)


def well_formed(text: str) -> str:
    """Text that UTF-8 can encode: surrogate pairs joined, each lone surrogate become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def dump_json(body: Mapping[str, Any]) -> str:
    """A body as one line of legal JSON. Raises ValueError for a number that skipped `finite`."""
    dumped = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return well_formed(dumped)
