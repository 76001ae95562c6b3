"""Recordings as base64 in JSON -> bytes."""

from binascii import a2b_base64
from string import whitespace

_WHITESPACE = whitespace.encode()
_BLOCK_BYTES = 1024 * 1024
"""So much is decoded at a time: the decoder holds the GIL, and others are to have it in between."""


def decode_base64(text: str) -> bytes:
    """The bytes behind base64 (RFC 4648, padded), which may be wrapped into lines.

    Raises ValueError for anything else.
    """
    data = text.encode("ascii")
    del text  # each step frees the copy before it: recordings can be large
    decoded, rest = bytearray(), bytearray()
    for start in range(0, len(data), _BLOCK_BYTES):
        rest += data[start : start + _BLOCK_BYTES].translate(None, _WHITESPACE)
        if b"=" not in rest:  # padding is decoded with the four letters before it, and all that follows
            whole = max(0, len(rest) - 1) // 4 * 4
            decoded += a2b_base64(rest[:whole], strict_mode=True)
            del rest[:whole]
    del data
    decoded += a2b_base64(rest, strict_mode=True)
    return bytes(decoded)
