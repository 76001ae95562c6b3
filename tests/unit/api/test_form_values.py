"""Forms that are objects within: bracket fields, JSON text, plain words."""

import json

import pytest
from werkzeug.datastructures import MultiDict

from app.api.bodies import check
from app.api.form_values import as_json
from app.api.schemas import TRANSCRIPTION
from app.errors import InvalidRequest

PROPERTIES = TRANSCRIPTION.schema["properties"]
NAME = "chunking_strategy"


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ({NAME: "auto"}, "auto"),
        ({NAME: "server_vad"}, "server_vad"),
        ({f"{NAME}[type]": "server_vad"}, {"type": "server_vad"}),
        (
            {
                f"{NAME}[type]": "server_vad",
                f"{NAME}[threshold]": "0.4",
                f"{NAME}[silence_duration_ms]": "150",
                f"{NAME}[prefix_padding_ms]": "",
                f"{NAME}[unknown]": "x",
            },
            {"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 150},
        ),
        ({NAME: '{"type": "server_vad", "threshold": 0.4}'}, {"type": "server_vad", "threshold": 0.4}),
        ({NAME: "auto", f"{NAME}[threshold]": "0.4"}, "auto"),
    ],
)
def test_the_ways_to_send_an_object(form, value):
    fields = as_json(MultiDict({"model": "m", **form}), PROPERTIES)
    assert fields == {"model": "m", NAME: value}
    check(TRANSCRIPTION, fields)


@pytest.mark.parametrize("form", [{NAME: ""}, {f"{NAME}[type]": ""}, {f"{NAME}[unknown]": "x"}, {}])
def test_nothing_said_is_an_absent_field(form):
    assert as_json(MultiDict(form), PROPERTIES) == {}


@pytest.mark.parametrize(
    "form",
    [
        {NAME: "sometimes"},
        {NAME: "[1]"},
        {NAME: "{}"},
        {NAME: '{"type": '},
        {NAME: "[" * 100_000},
        {NAME: '{"type": "server_vad", "threshold": NaN}'},
        {NAME: '{"type": "server_vad"}' + " " * 4_096},
        {NAME: '{"type": "server_vad", "threshold": "high"}'},
        {NAME: '{"type": "server_vad", "threshold": 2}'},
        {NAME: json.dumps({"type": "semantic_vad"})},
        {f"{NAME}[threshold]": "0.4"},
        {f"{NAME}[type]": "pauses"},
        {f"{NAME}[type]": "server_vad", f"{NAME}[threshold]": "high"},
        {f"{NAME}[type]": "server_vad", f"{NAME}[threshold]": "1.1"},
        {f"{NAME}[type]": "server_vad", f"{NAME}[silence_duration_ms]": "1.5"},
        {f"{NAME}[type]": "server_vad", f"{NAME}[prefix_padding_ms]": "10001"},
    ],
)
def test_what_is_no_strategy_is_refused_by_name(form):
    with pytest.raises(InvalidRequest) as caught:
        check(TRANSCRIPTION, as_json(MultiDict({"model": "m", **form}), PROPERTIES))
    assert caught.value.param.partition(".")[0] == NAME


def test_a_name_with_a_comma_is_one_name():
    fields = as_json(MultiDict([("known_speaker_names[]", "Doe, Jane"), ("keywords", "a, b")]), PROPERTIES)
    assert fields == {"known_speaker_names": ["Doe, Jane"], "keywords": ["a, b"]}


def test_a_list_that_is_too_long_is_not_even_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 MiB of commas fit into a field."""
    read: list[str] = []
    monkeypatch.setattr("app.api.form_values.scalar", lambda text, schema: read.append(text) or text)
    with pytest.raises(InvalidRequest) as caught:
        as_json(MultiDict({"suppress_tokens": "," * 16 * 1024 * 1024}), PROPERTIES)
    assert caught.value.message == (
        "Invalid 'suppress_tokens': array too long. Expected array with maximum length 51867, "
        "but got array with length 16777217 instead."
    )
    assert (caught.value.param, caught.value.code) == ("suppress_tokens", "array_above_max_length")
    assert len(read) == 1  # as a whole, which might be `none`
