import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.formats.wire import dump_json, finite, well_formed


@pytest.mark.parametrize(
    ("number", "legal"),
    [(math.nan, 0.0), (math.inf, 1e9), (-math.inf, -1e9), (-0.25, -0.25), (0, 0.0), (1e300, 1e300)],
)
def test_finite_keeps_what_json_knows(number: float, legal: float) -> None:
    assert finite(number) == legal


def test_finite_gives_plain_floats_for_numpy_numbers() -> None:
    assert type(finite(np.float32(0.5))) is float


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain é 会", "plain é 会"),
        ("lone \ud83d here", "lone \ufffd here"),
        ("low \ude00", "low \ufffd"),
        ("pair \ud83d\ude00", "pair \U0001f600"),
        ("", ""),
        ("\ufeffmark", "\ufeffmark"),
    ],
)
def test_well_formed_mends_surrogates_only(text: str, clean: str) -> None:
    assert well_formed(text) == clean


@given(st.text(st.characters(exclude_categories=())))
def test_every_dumped_text_can_be_sent_and_read(text: str) -> None:
    sent = dump_json({"text": text}).encode("utf-8")
    assert json.loads(sent)["text"] == well_formed(text)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_dump_refuses_what_json_does_not_know(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_json({"score": [number]})


def test_dump_is_one_compact_line_with_letters_as_they_are() -> None:
    assert dump_json({"text": "Köln\n", "n": [1, 2]}) == '{"text":"Köln\\n","n":[1,2]}'
