"""Values that can be sent: numbers that JSON allows, text that UTF-8 can encode."""

import json
import math
from collections.abc import Mapping
from typing import Any

_FAR = 1e9  # stands for infinity: beyond any score or time, and exact in every client's number type


def finite(number: float) -> float:
    """The number, or the nearest thing that is legal JSON: 0.0 for NaN, +-1e9 for infinities.

    openai-whisper's results have NaN where nothing was computed. Browsers and Node refuse a whole answer with
    one NaN.
    """
    if math.isfinite(number):
        return float(number)
    return 0.0 if math.isnan(number) else math.copysign(_FAR, number)


def well_formed(text: str) -> str:
    """Text that UTF-8 can encode: surrogate pairs joined, each lone surrogate become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def dump_json(body: Mapping[str, Any]) -> str:
    """A body as one line of JSON. Raises ValueError for NaN and infinity; see `finite`."""
    dumped = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return well_formed(dumped)
