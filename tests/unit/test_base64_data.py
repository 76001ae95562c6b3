from base64 import b64encode
from binascii import a2b_base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import base64_data
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


@given(text=st.text(alphabet="Az/=\n ", max_size=14), block=st.integers(1, 15))
def test_it_is_no_matter_where_blocks_end(text: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base64_data, "_BLOCK_BYTES", block)
        try:
            expected = a2b_base64("".join(text.split()), strict_mode=True)
        except ValueError:
            with pytest.raises(ValueError):
                decode_base64(text)
        else:
            assert decode_base64(text) == expected


@pytest.mark.parametrize("text", ["%%%", "AAA", "A=AA", "=", "AA==AA==", "é", "-_-_", "\ud800"])
def test_what_is_no_base64(text: str) -> None:
    with pytest.raises(ValueError):
        decode_base64(text)
