"""A request's body -> one checked dict, and the file that came with it.

A multipart form becomes JSON first, steered by the schema's types: `name`, `name[]` and comma lists
make arrays; an empty text is an absent field; `none` is null where null is allowed. A text that is
not of its type stays a text, and the schema refuses it. Fields that the schema doesn't name are
ignored, since real clients send extras. A field sent twice must say the same twice.
"""

from collections.abc import Callable
from io import SEEK_END
from math import isfinite
from typing import Any, BinaryIO, cast

from flask import Flask, Response, current_app
from jsonschema import Draft202012Validator
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app.api.application import IncomingRequest, incoming
from app.api.violations import refusal, shown
from app.errors import InvalidParameter, MissingParameter, UnparsableBody, UploadTooLarge

Fields = dict[str, Any]


def register(app: Flask) -> None:
    """Read every body to its end before the answer leaves."""
    app.after_request(_drop_unread)


def _drop_unread(response: Response) -> Response:
    _ = incoming().bytes_sent  # reading it is the point
    return response


def read_form(schema: Draft202012Validator) -> tuple[Fields, BinaryIO]:
    """The fields that `schema` names, checked, and the bytes of the part `file`: its name is no matter.

    Raises UnparsableBody, UploadTooLarge, MissingParameter, InvalidParameter.
    """
    form, files = _parsed_form()
    fields = _as_json(form, cast(Fields, schema.schema)["properties"])
    check(schema, fields)
    return fields, cast(BinaryIO, _file_part(form, files).stream)


def check(schema: Draft202012Validator, fields: Fields) -> None:
    """Raise MissingParameter or InvalidParameter for the first thing that the schema refuses."""
    for violation in schema.iter_errors(fields):
        raise refusal(violation)


def _parsed_form() -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    request = incoming()
    if request.mimetype != "multipart/form-data":
        sent = shown(request.mimetype) if request.mimetype else "none"
        raise UnparsableBody(
            "Could not parse multipart form: the Content-Type must be 'multipart/form-data' "
            f"with a boundary, but got {sent}."
        )
    try:
        return request.form, request.files
    except RequestEntityTooLarge:
        raise _too_large(request) from None
    except (ValueError, ClientDisconnected) as error:
        raise UnparsableBody(
            "Could not parse multipart form: the boundary is missing or wrong, a part is malformed, "
            "or the body was cut off."
        ) from error


def _too_large(request: IncomingRequest) -> UploadTooLarge:
    """Which of werkzeug's three limits it was: the body's length, a field's, or the number of parts."""
    sent = max(request.content_length or 0, request.bytes_sent)
    limit = request.max_content_length or 0
    if sent >= limit:
        return _over_limit(limit, sent)
    return UploadTooLarge(
        f"The form has a field of more than {request.max_form_memory_size} bytes "
        f"or more than {request.max_form_parts} parts."
    )


def _over_limit(limit: int, sent: int) -> UploadTooLarge:
    return UploadTooLarge(f"Maximum content size limit ({limit}) exceeded ({sent} bytes read)")


def _file_part(form: MultiDict[str, str], files: MultiDict[str, FileStorage]) -> FileStorage:
    """Any name will do, even an empty one; a form without a chosen file sends neither name nor bytes."""
    uploads = [upload for upload in files.getlist("file") if upload.filename or _size(upload)]
    if len(uploads) > 1:
        raise InvalidParameter(f"Invalid 'file': expected one file, but got {len(uploads)}.", param="file")
    if uploads:
        return _within_limit(uploads[0])
    if form.get("file"):
        raise InvalidParameter(
            "Invalid 'file': Expected UploadFile, received: <class 'str'>. "
            "Send the audio as a file part: its Content-Disposition needs a filename.",
            param="file",
        )
    raise MissingParameter("Missing required parameter: 'file'.", param="file")


def _within_limit(upload: FileStorage) -> FileStorage:
    limit = current_app.config["MAX_UPLOAD_BYTES"]
    if (size := _size(upload)) > limit:
        raise _over_limit(limit, size)
    return upload


def _size(upload: FileStorage) -> int:
    size = upload.stream.seek(0, SEEK_END)
    upload.stream.seek(0)
    return size


def _as_json(form: MultiDict[str, str], properties: dict[str, Fields]) -> Fields:
    sent = {name: [text for text in _texts(form, name) if text] for name in properties}
    return {name: _value(name, texts, properties[name]) for name, texts in sent.items() if texts}


def _texts(form: MultiDict[str, str], name: str) -> list[str]:
    return form.getlist(name) + form.getlist(f"{name}[]")


def _value(name: str, texts: list[str], schema: Fields) -> Any:
    if "array" in _types(schema):
        return _array(texts, schema)
    if len(set(texts)) > 1:
        values = " and ".join(shown(text) for text in texts[:2])
        raise InvalidParameter(f"The parameter '{name}' was sent with two values: {values}.", param=name)
    return _scalar(texts[0], schema)


def _array(texts: list[str], schema: Fields) -> list[Any] | None:
    items = schema["items"]
    if len(texts) == 1 and _scalar(texts[0], schema) is None:
        return None
    if "enum" in items or items["type"] in _READERS:  # free text may have commas of its own
        texts = [part.strip() for text in texts for part in text.split(",")]
    return [_scalar(text, items) for text in texts]


def _scalar(text: str, schema: Fields) -> Any:
    types = _types(schema)
    if "null" in types and text.lower() == "none":
        return None
    reader = next((_READERS[kind] for kind in types if kind in _READERS), str)
    try:
        return reader(text)
    except ValueError:
        return text


def _types(schema: Fields) -> list[str]:
    types = schema["type"]
    return [types] if isinstance(types, str) else types


def _number(text: str) -> float:
    number = float(_plain(text))
    if not isfinite(number):
        raise ValueError(text)
    return number


def _integer(text: str) -> int:
    return int(_plain(text))


def _plain(text: str) -> str:
    """Text without what Python reads in numbers and nobody else does: 1_000, other scripts' digits."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return text


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false", "1", "0"):
        raise ValueError(text)
    return lowered in ("true", "1")


_READERS: dict[str, Callable[[str], Any]] = {"number": _number, "integer": _integer, "boolean": _boolean}
