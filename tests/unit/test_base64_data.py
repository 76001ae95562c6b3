from base64 import b64encode

import pytest

from app.base64_data import decode_base64

DATA = bytes(range(256))
TEXT = b64encode(DATA).decode()


@pytest.mark.parametrize(
    "text",
    [TEXT, f"{TEXT[:76]}\r\n{TEXT[76:]}\n", f" {TEXT[:2]}\t{TEXT[2:]}", f"{TEXT[:9]}\v\f{TEXT[9:]}"],
    ids=["bare", "lines", "blanks", "rare blanks"],
)
def test_whitespace_is_no_matter(text: str) -> None:
    assert decode_base64(text) == DATA


def test_nothing_is_nothing() -> None:
    assert decode_base64("") == b""


@pytest.mark.parametrize("text", ["%%%", "AAA", "A=AA", "=", "AA==AA==", "é", "-_-_", "\ud800"])
def test_what_is_no_base64(text: str) -> None:
    with pytest.raises(ValueError):
        decode_base64(text)
