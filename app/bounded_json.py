"""JSON from clients, whose objects must not take many times the memory of its text.

`[],` has three bytes as text, and 56 as a list. So the characters that make objects are counted first.
"""

import json
from math import isfinite
from typing import Any, NoReturn

MAX_STRUCTURE = 100_000
"""Brackets, braces, colons and commas outside of strings; a request with all its options has hundreds."""

_STRUCTURE = b"{}[]:,"
_BLOCK_BYTES = 256 * 1024
"""Bytes searched by one call, which holds the GIL: for some milliseconds at limit."""


class TooComplex(ValueError):
    """JSON with more structural characters than are allowed."""


def check_structure(data: bytes | bytearray, limit: int = MAX_STRUCTURE) -> None:
    """Raise TooComplex for UTF-8 text with more than `limit` structural characters outside of strings.

    Also for more strings than so many characters could separate. Takes linear time for any text. It doesn't
    check whether the text is JSON.
    """
    structure = quotes = 0
    half = b""  # a backslash whose other half is in the next block
    view = memoryview(data)
    for start in range(0, len(data), _BLOCK_BYTES):
        block = (half + bytes(view[start : start + _BLOCK_BYTES])).replace(rb"\\", b"")
        half = b"\\" if block.endswith(b"\\") else b""
        parts = block.removesuffix(half).replace(rb"\"", b"").split(b'"')
        outside = b"".join(parts[quotes % 2 :: 2])
        structure += len(outside) - len(outside.translate(None, _STRUCTURE))
        quotes += len(parts) - 1
        if structure > limit or quotes > 2 * (limit + 1):
            raise TooComplex(
                f"it has more than {limit} brackets, braces, colons and commas outside of strings, "
                "which is the maximum"
            )


def parse(data: bytes | bytearray) -> Any:
    """The value of UTF-8 JSON whose structure was checked. A bytearray is emptied, to free its memory early.

    Raises ValueError for text that is not JSON (NaN included), for numbers too large for a float, and for
    values that are nested too deeply.
    """
    text = data.decode("utf-8-sig", "surrogatepass")
    if isinstance(data, bytearray):
        data.clear()
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:40]} is out of range")
    return number
