"""Recordings as base64 in JSON -> bytes."""

from binascii import a2b_base64
from string import whitespace

_WHITESPACE = whitespace.encode()


def decode_base64(text: str) -> bytes:
    """The bytes behind base64 (RFC 4648, padded), which may be wrapped into lines.

    Raises ValueError for anything else.
    """
    data = text.encode("ascii")
    del text  # each step frees the copy before it: recordings can be large
    data = data.translate(None, _WHITESPACE)
    return a2b_base64(data, strict_mode=True)
