"""What is counted before JSON is parsed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import bounded_json
from app.bounded_json import MAX_STRUCTURE, TooComplex, check_structure, parse

EMOJI = "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "text",
    [
        "[" + "[]," * 50_000 + "0]",
        "[" + "{}," * 50_000 + "0]",
        "{" + ",".join(f'"{number}":0' for number in range(60_000)) + "}",
        "[" + "0," * 100_000 + "0]",
        "[" * 100_001,
        f'{{"{EMOJI}": [' + "[]," * 50_000 + "0]}",
        '["\\\\",' + "[]," * 50_000 + "0]",
        '["\\"",' + "[]," * 50_000 + "0]",
        '"" ' * 100_002,
    ],
    ids=["[]", "{}", "keys", "numbers", "deep", "emoji", "backslash", "quote", "strings side by side"],
)
def test_too_many_parts(text: str) -> None:
    with pytest.raises(TooComplex, match="more than 100000 brackets, braces, colons and commas"):
        check_structure(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * MAX_STRUCTURE,
        "[" + "0," * (MAX_STRUCTURE - 2) + "0]",
        f'"{"[]," * 1_000_000}"',
        '"' + '\\"[],' * 300_000 + '"',
        '"' + "\\\\" * 300_000 + '[]{}\\"' + "," * 300_000 + '"',
        " " * 1_000_000,
        f'"{"A" * 1_000_000}{EMOJI}"',
    ],
    ids=["empty", "just as many", "numbers", "in a string", "quotes", "backslashes", "blanks", "emoji"],
)
def test_what_may_be_parsed(text: str) -> None:
    check_structure(text.encode())


TEXTS = st.text(st.sampled_from(["\\", '"', "[", "]", "{", "}", ":", ",", "a", " ", "é", EMOJI]))
VALUES = st.recursive(TEXTS | st.integers(), st.lists) | st.dictionaries(TEXTS, st.none())


@given(value=VALUES)
def test_the_count_wherever_blocks_end(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    inside, escaped, structure = False, False, 0
    for character in text:
        if character == '"' and not escaped:
            inside = not inside
        escaped = character == "\\" and not escaped
        structure += not inside and character in "{}[]:,"
    for block in (1, 2, 3, 7, 1024):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bounded_json, "_BLOCK_BYTES", block)
            check_structure(text.encode(), limit=max(structure, text.count('"')))
            if structure:
                with pytest.raises(TooComplex):
                    check_structure(text.encode(), limit=structure - 1)


@pytest.mark.parametrize("make", [bytes, bytearray])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, null, "\\ud800"]}', {"a": [1, None, "\ud800"]}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (f'"{EMOJI}"'.encode(), EMOJI),
    ],
)
def test_the_value(make: type[bytes | bytearray], text: bytes, value: object) -> None:
    data = make(text)
    assert parse(data) == value
    assert bool(data) is (make is bytes)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"NaN",
        b"[-Infinity]",
        b"1e999",
        b"-1.5e999",
        b"\xff",
        b"[" * MAX_STRUCTURE,
        '{"a": 1}'.encode("utf-16"),
    ],
)
def test_what_is_not_json(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse(text)
