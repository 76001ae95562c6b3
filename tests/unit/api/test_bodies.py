import errno
import io
import math
import os
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Request

from app.api.bodies import check, read_form
from app.api.form_values import scalar
from app.api.schemas import compiled
from app.errors import InvalidParameter
from tests.unit.scripted import error_of, upload

URL = "/v1/audio/transcriptions"
FORM = "multipart/form-data; boundary=B"
MIB = 1024 * 1024
SCHEMA = Draft202012Validator(
    {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "number": {"type": "number", "minimum": -5, "maximum": 10},
            "above": {"type": "number", "exclusiveMinimum": 0},
            "whole": {"type": "integer", "minimum": 1, "maximum": 9},
            "switch": {"type": "boolean"},
            "optional": {"type": ["number", "null"]},
            "choices": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "maxItems": 3},
            "numbers": {"type": ["array", "null"], "items": {"type": "number", "minimum": 0}},
            "texts": {"type": "array", "items": {"type": "string"}},
        },
    }
)


def _audio(name="a.wav", data=b"RIFF"):
    return FileStorage(io.BytesIO(data), filename=name, name="file")


def _read(app, **fields):
    """The checked fields of a form; a list is sent as several parts."""
    with app.test_request_context(method="POST", data={"name": "n", "file": _audio(), **fields}):
        fields, _ = read_form(SCHEMA)
    return {name: value for name, value in fields.items() if name != "name"}


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("number", "0", 0.0),
        ("number", " 0.2 ", 0.2),
        ("number", ".5", 0.5),
        ("number", "1e0", 1.0),
        ("number", "-1", -1.0),
        ("whole", "5", 5),
        ("switch", "true", True),
        ("switch", "True", True),
        ("switch", "1", True),
        ("switch", "false", False),
        ("switch", "0", False),
        ("optional", "none", None),
        ("optional", "None", None),
        ("optional", "2.5", 2.5),
        ("choices", "a", ["a"]),
        ("choices", "a,b", ["a", "b"]),
        ("choices", "a, b", ["a", "b"]),
        ("choices", ["a", "b"], ["a", "b"]),
        ("choices[]", ["a", "b"], ["a", "b"]),
        ("choices[]", "a,b", ["a", "b"]),
        ("numbers", "0,5.5,10", [0.0, 5.5, 10.0]),
        ("numbers", "none", None),
        ("texts[]", ["one, two", "three"], ["one, two", "three"]),
        ("number", ["1", "1"], 1.0),
    ],
)
def test_texts_become_what_the_schema_says(app, field, text, value):
    assert _read(app, **{field: text}) == {field.removesuffix("[]"): value}


@pytest.mark.parametrize(
    "field", ["number", "whole", "switch", "optional", "choices", "choices[]", "numbers"]
)
def test_an_empty_text_is_an_absent_field(app, field):
    assert _read(app, **{field: ""}) == {}


def test_fields_the_schema_does_not_name_are_ignored(app):
    assert _read(app, user="u", vad_filter="true", **{"hotwords[]": ["x", "y"]}) == {}


@pytest.mark.parametrize(
    "text", ["hot", "nan", "NaN", "inf", "-Infinity", "1e999", "0x1", "1_0", "٣", "1,5", "none"]
)
def test_what_is_no_number_is_refused(app, text):
    with pytest.raises(InvalidParameter) as caught:
        _read(app, number=text)
    assert caught.value.param == "number"
    assert caught.value.code == "invalid_type"
    assert (
        caught.value.message
        == f"Invalid type for 'number': expected a decimal number, but got {text!r} instead."
    )


@pytest.mark.parametrize(
    ("field", "text", "code", "message"),
    [
        (
            "whole",
            "1.5",
            "invalid_type",
            "Invalid type for 'whole': expected an integer, but got '1.5' instead.",
        ),
        (
            "whole",
            "9" * 5000,
            "invalid_type",
            f"Invalid type for 'whole': expected an integer, but got '{'9' * 79}... instead.",
        ),
        (
            "switch",
            "yes",
            "invalid_type",
            "Invalid type for 'switch': expected 'true' or 'false', but got 'yes' instead.",
        ),
        (
            "optional",
            "off",
            "invalid_type",
            "Invalid type for 'optional': expected a decimal number or 'none', but got 'off' instead.",
        ),
        (
            "number",
            "10.5",
            "decimal_above_max_value",
            "Invalid 'number': decimal above maximum value. Expected a value <= 10, but got 10.5 instead.",
        ),
        (
            "number",
            "-6",
            "decimal_below_min_value",
            "Invalid 'number': decimal below minimum value. Expected a value >= -5, but got -6.0 instead.",
        ),
        (
            "above",
            "0",
            "decimal_below_min_value",
            "Invalid 'above': decimal below minimum value. Expected a value > 0, but got 0.0 instead.",
        ),
        (
            "whole",
            "10",
            "integer_above_max_value",
            "Invalid 'whole': integer above maximum value. Expected a value <= 9, but got 10 instead.",
        ),
        (
            "whole",
            "0",
            "integer_below_min_value",
            "Invalid 'whole': integer below minimum value. Expected a value >= 1, but got 0 instead.",
        ),
        ("choices", "c", "invalid_value", "Invalid value: 'c'. Supported values are: 'a' and 'b'."),
        ("choices", "a,", "invalid_value", "Invalid value: ''. Supported values are: 'a' and 'b'."),
        (
            "choices",
            "a,b,a,b",
            "array_above_max_length",
            "Invalid 'choices': array too long. Expected array with maximum length 3, "
            "but got array with length 4 instead.",
        ),
        (
            "numbers",
            "1,x",
            "invalid_type",
            "Invalid type for 'numbers[1]': expected a decimal number, but got 'x' instead.",
        ),
        (
            "number",
            ["1", "2"],
            "invalid_value",
            "The parameter 'number' was sent with two values: '1' and '2'.",
        ),
    ],
)
def test_what_the_schema_refuses_is_told_in_openais_words(app, field, text, code, message):
    with pytest.raises(InvalidParameter) as caught:
        _read(app, **{field: text})
    assert (caught.value.param, caught.value.code, caught.value.message) == (field, code, message)


@given(text=st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20))
def test_a_number_is_read_as_finite_or_refused(text):
    value = scalar(text, {"type": "number"})
    assert value == text or math.isfinite(value)


def _form(*parts, boundary=b"B"):
    """A hand-made multipart body from (headers, content) pairs."""
    lines = b"".join(b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, headers, content) for headers, content in parts)
    return lines + b"--%b--\r\n" % boundary


MODEL = (b'Content-Disposition: form-data; name="model"', b"whisper-1")
FILE = (b'Content-Disposition: form-data; name="file"; filename="a.wav"', b"RIFF\xff\x00data")


def _send(client, body, content_type=FORM, chunked=False):
    sent = upload(io.BytesIO(body), None if chunked else len(body), content_type)
    return client.post(URL, environ_overrides=sent)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        _form(MODEL, FILE),
        _form(FILE, MODEL),
        _form(MODEL, FILE).replace(b"\r\n", b"\n"),
        _form(MODEL, (b"Content-Disposition: form-data; name=file; filename=a.wav", FILE[1])),
        _form(
            (b"content-disposition: form-data; name=model", b"whisper-1"),
            (
                b"Content-Disposition: form-data; name=file; filename=x.wav; filename*=utf-8''r%C3%A9.wav",
                FILE[1],
            ),
        ),
        _form(MODEL, (b'Content-Disposition: form-data; name="file"; filename="tmp.mp3"', FILE[1])),
        _form(MODEL, ('Content-Disposition: form-data; name="file"; filename="会議"'.encode(), FILE[1])),
        _form(MODEL, (FILE[0] + b"\r\nContent-Type: text/plain; charset=ISO-8859-1", FILE[1])),
        _form(MODEL, (b'Content-Disposition: form-data; name="file"; filename=""', FILE[1])),
        _form(MODEL, (b'Content-Disposition: form-data; name=file; filename="=?utf-8?B?5Lya?="', FILE[1])),
        b"preamble\r\n" + _form(MODEL, FILE) + b"epilogue",
    ],
)
def test_the_forms_that_real_clients_send(client, runtime, body, chunked):
    response = _send(client, body, chunked=chunked)
    assert response.status_code == 200, response.text
    assert runtime.files == [FILE[1]]


def test_a_quoted_boundary(client):
    assert _send(client, _form(MODEL, FILE), 'multipart/form-data; boundary="B"').status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (_form(MODEL, FILE), None),
        (_form(MODEL, FILE), "multipart/form-data"),
        (_form(MODEL, FILE), "multipart/form-data; boundary="),
        (_form(MODEL, FILE), "multipart/form-data; boundary=C"),
        (_form(MODEL, FILE), "multipart/mixed; boundary=B"),
        (_form(MODEL, FILE)[:-20], FORM),
        (_form(MODEL, FILE)[:-7], FORM),
        (b"", FORM),
        (_form((b"X: y", b"z")), FORM),
        (_form((b'Content-Disposition: form-data; name="\xe9"', b"z")), FORM),
        (b"model=whisper-1", "application/x-www-form-urlencoded"),
        (b"hello", "text/plain"),
    ],
)
def test_bodies_that_are_no_form(client, runtime, body, content_type, chunked):
    response = _send(client, body, content_type, chunked)
    assert response.status_code == 400
    error = error_of(response)
    assert error["message"].startswith("Could not parse multipart form: ")
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, None)
    assert runtime.requests == []


def test_a_body_shorter_than_its_content_length(client):
    body = _form(MODEL, FILE)[:-20]
    sent = upload(io.BytesIO(body), 10_000, FORM)
    response = client.post(URL, environ_overrides=sent)
    assert response.status_code == 400
    assert error_of(response)["message"].startswith("Could not parse multipart form: ")


@pytest.mark.parametrize(
    ("parts", "code", "message"),
    [
        ([MODEL], None, "Missing required parameter: 'file'."),
        (
            [MODEL, (b'Content-Disposition: form-data; name="file"', b"")],
            None,
            "Missing required parameter: 'file'.",
        ),
        (
            [MODEL, (b'Content-Disposition: form-data; name="file"; filename=""', b"")],
            None,
            "Missing required parameter: 'file'.",
        ),
        (
            [MODEL, (b'Content-Disposition: form-data; name="audio"; filename="a.wav"', b"RIFF")],
            None,
            "Missing required parameter: 'file'.",
        ),
        (
            [MODEL, (b'Content-Disposition: form-data; name="file"', b"RIFF")],
            "invalid_value",
            "Invalid 'file': Expected UploadFile, received: <class 'str'>. "
            "Send the audio as a file part: its Content-Disposition needs a filename.",
        ),
        ([MODEL, FILE, FILE], "invalid_value", "Invalid 'file': expected one file, but got 2."),
    ],
)
def test_forms_without_the_one_file(client, parts, code, message):
    response = _send(client, _form(*parts))
    assert response.status_code == 400
    assert error_of(response) == {
        "message": message,
        "type": "invalid_request_error",
        "param": "file",
        "code": code,
    }


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_over_the_limit(client, chunked):
    response = _send(client, _form(MODEL, (FILE[0], b"x" * (MIB + 1))), chunked=chunked)
    assert response.status_code == 413
    assert error_of(response) == {
        "message": "Maximum content size limit (1048576) exceeded (1048577 bytes read)",
        "type": "server_error",
        "param": None,
        "code": None,
    }


def test_a_file_of_just_the_limit(client, runtime):
    assert _send(client, _form(MODEL, (FILE[0], b"x" * MIB)), chunked=True).status_code == 200
    assert len(runtime.files[0]) == MIB


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("mebibytes", [2, 3])
def test_a_body_over_the_limit(client, chunked, mebibytes):
    body = _form(MODEL, (FILE[0], b"x" * (mebibytes * MIB)))
    response = _send(client, body, chunked=chunked)
    assert response.status_code == 413
    bytes_read = 2 * MIB if chunked else len(body)  # what names its length isn't read at all
    message = f"Maximum content size limit (2097152) exceeded ({bytes_read} bytes read)"
    assert error_of(response)["message"] == message


def test_a_form_of_too_many_parts(client):
    response = _send(client, _form(*[MODEL] * 1001))
    assert response.status_code == 413
    assert "more than 1000 parts" in error_of(response)["message"]


class FullDisk(io.BytesIO):
    """A temporary file for which there is no room, which its buffer says again when it is closed."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def write(self, data: bytes) -> int:
        raise OSError(self._number, os.strerror(self._number))

    def close(self) -> None:
        super().close()
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE])
def test_an_upload_that_there_is_no_room_for(client, monkeypatch, caplog, number):
    kept = FullDisk(number)
    monkeypatch.setattr(tempfile, "tempdir", "/scratch")
    monkeypatch.setattr(Request, "_get_file_stream", lambda *_, **__: kept)
    response = client.post(URL, data={"model": "whisper-1", "file": (io.BytesIO(b"RIFF"), "a.wav")})
    assert response.status_code == 503
    error = error_of(response)
    assert error["type"] == "server_error"
    assert f"no room for your request ({os.strerror(number)})" in error["message"]
    assert 1 <= int(response.headers["Retry-After"]) <= 120
    assert kept.closed
    assert "/scratch" in caplog.text
    assert "/scratch" not in response.text


class Quoted(str):
    """Fails whoever quotes all of it: tens of megabytes, three times over."""

    def __repr__(self) -> str:
        raise AssertionError


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "n", "number": Quoted("x" * 100)},
        {"name": "n", "choices": [Quoted("x" * 100)]},
        {"name": "n", "choices": Quoted("x" * 100)},
        {"name": "n", "short": Quoted("x" * 100)},
    ],
)
def test_what_is_refused_is_never_quoted_as_a_whole(fields):
    schema = SCHEMA.schema | {
        "properties": SCHEMA.schema["properties"] | {"short": {"type": "string", "maxLength": 9}}
    }
    with pytest.raises(InvalidParameter) as caught:
        check(compiled(schema), fields)
    assert len(caught.value.message) < 200
