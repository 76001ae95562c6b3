"""A request's body -> one checked dict, and the recording that came with it.

A form becomes JSON first (`form_values`), so one schema checks both. Fields that the schema doesn't
name are not checked, since real clients send extras; an empty text is an absent field.
"""

from io import SEEK_END, BytesIO
from typing import Any, BinaryIO, cast

from flask import Flask, Response, current_app
from jsonschema import Draft202012Validator
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app.api import current_runtime
from app.api.application import IncomingRequest, incoming
from app.api.form_values import Fields, as_json
from app.api.large_json import read_json_body
from app.api.schemas import INPUT_AUDIO
from app.api.violations import refusal, shown
from app.base64_data import decode_base64
from app.bounded_json import TooComplex
from app.errors import InvalidParameter, MissingParameter, UnparsableBody, UploadTooLarge


def register(app: Flask) -> None:
    """Discard the unread rest of bodies, so that their senders see the answer."""
    app.after_request(_drop_unread)


def _drop_unread(response: Response) -> Response:
    """Read it to its end if a slot is free, else close the connection after the answer."""
    request, draining = incoming(), current_runtime().admission.draining
    request.counted_input.held.close()
    if request.unread and not request.awaits_continue and (slot := draining.take()):
        try:
            request.drain(slot)
        finally:
            draining.give_back(slot)
    if request.unread:
        response.headers["Connection"] = "close"  # the rest of the body would be taken for the next request
    return response


def _start_reading_body(limit: int) -> IncomingRequest:
    """The request, with a slot to read its body. Raises UploadTooLarge, ServerBusy.

    A body whose Content-Length is over the limit gets no slot.
    """
    request = incoming()
    request.max_content_length = limit
    if (request.content_length or 0) > limit:
        raise _over_limit(limit, request.content_length or 0)
    request.take_slot(current_runtime().admission.read())
    return request


def read_recording(schema: Draft202012Validator) -> tuple[Fields, BinaryIO]:
    """The fields that `schema` names, checked, and the recording's bytes.

    They come as a form with the part `file`, or as JSON with `input_audio: {"data": base64, "format"}`.
    File name and format are ignored: the bytes decide.
    Raises UnparsableBody, UploadTooLarge, MissingParameter, InvalidParameter.
    """
    if incoming().mimetype == "application/json":
        return _read_json_recording(schema)
    return read_form(schema)


def read_form(schema: Draft202012Validator) -> tuple[Fields, BinaryIO]:
    """The fields and the file of a multipart form; raises as `read_recording` does."""
    form, files = _parsed_form()
    fields = _note_model(as_json(form, _properties(schema)))
    check(schema, fields)
    return fields, cast(BinaryIO, _file_part(form, files, "file").stream)


def read_file(name: str) -> FileStorage:
    """The part of a multipart form with this name, whatever else it has; raises as `read_recording` does."""
    return _file_part(*_parsed_form(), name)


def read_query(schema: Draft202012Validator) -> Fields:
    """The fields in the URL's query that `schema` names, checked. Raises InvalidParameter."""
    fields = as_json(incoming().args, _properties(schema))
    check(schema, fields)
    return fields


def read_json(schema: Draft202012Validator) -> Fields:
    """All of a JSON object, checked as far as `schema` names its fields.

    A null or an empty text that stands for a field not sent is left out. Raises as `read_recording`.
    """
    fields = _note_model(_without_absent(_parsed_json(), _properties(schema)))
    check(schema, fields)
    return fields


def check(schema: Draft202012Validator, fields: Fields) -> None:
    """Raise MissingParameter or InvalidParameter for the first violation of the schema."""
    for violation in schema.iter_errors(fields):
        raise refusal(violation)


def _note_model(fields: Fields) -> Fields:
    """The same fields, with the deployment in Azure's URLs as `model` if there is none.

    `model` is kept for the log, also if the request is refused.
    """
    request = incoming()
    if request.deployment and not fields.get("model"):
        fields["model"] = request.deployment
    request.model = str(fields.get("model", ""))
    return fields


def _properties(schema: Draft202012Validator) -> dict[str, Fields]:
    properties: dict[str, Fields] = cast(Fields, schema.schema)["properties"]
    return properties


def _without_absent(fields: Fields, properties: dict[str, Fields]) -> Fields:
    return {name: value for name, value in fields.items() if not _is_absent(value, properties.get(name))}


def _is_absent(value: Any, schema: Fields | None) -> bool:
    return schema is not None and (value == "" or (value is None and "null" not in schema.get("type", "")))


def _read_json_recording(schema: Draft202012Validator) -> tuple[Fields, BinaryIO]:
    fields = read_json(schema)
    check(INPUT_AUDIO, fields)
    return fields, _json_recording(fields.pop("input_audio")["data"])


def _json_recording(data: str) -> BinaryIO:
    """The recording behind base64 or a data URL. Raises InvalidParameter, UploadTooLarge."""
    try:
        audio = decode_base64(data.partition(",")[2] if data.startswith("data:") else data)
    except ValueError as error:
        raise InvalidParameter(
            f"Invalid 'input_audio.data': expected base64-encoded audio, but got {shown(data[:80])} instead.",
            param="input_audio.data",
        ) from error
    _check_size(len(audio))
    return BytesIO(audio)


def _parsed_json() -> Fields:
    request = _start_reading_body(current_app.config["MAX_JSON_BYTES"])
    try:
        body = read_json_body(request)
    except RequestEntityTooLarge:
        raise _too_large(request) from None
    except TooComplex as error:
        raise UnparsableBody(f"Could not parse the JSON body of your request: {error}.") from error
    except (ValueError, ClientDisconnected) as error:
        raise UnparsableBody(
            "Could not parse the JSON body of your request: it is not valid JSON, or it was cut off."
        ) from error
    if not isinstance(body, dict):
        raise UnparsableBody(
            f"Could not parse the JSON body of your request: expected an object, but got {shown(body)}."
        )
    return body


def _parsed_form() -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    request = incoming()
    if request.mimetype != "multipart/form-data":
        content_type = shown(request.mimetype) if request.mimetype else "none"
        raise UnparsableBody(
            "Could not parse multipart form: the Content-Type must be 'multipart/form-data' "
            f"with a boundary, but got {content_type}."
        )
    _start_reading_body(current_app.config["MAX_CONTENT_LENGTH"])
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
    """The error for werkzeug's three limits: the body's length, a field's length, the number of parts."""
    limit, bytes_read = request.max_content_length or 0, request.counted_input.bytes_read
    if bytes_read >= limit:
        return _over_limit(limit, bytes_read)
    return UploadTooLarge(
        f"The form has a field of more than {request.max_form_memory_size} bytes "
        f"or more than {request.max_form_parts} parts."
    )


def _over_limit(limit: int, bytes_read: int) -> UploadTooLarge:
    return UploadTooLarge(f"Maximum content size limit ({limit}) exceeded ({bytes_read} bytes read)")


def _file_part(form: MultiDict[str, str], files: MultiDict[str, FileStorage], name: str) -> FileStorage:
    """The part `name`, whatever its file name. A browser without a chosen file sends no name and no bytes."""
    uploads = [upload for upload in files.getlist(name) if upload.filename or _size(upload)]
    if len(uploads) > 1:
        raise InvalidParameter(f"Invalid '{name}': expected one file, but got {len(uploads)}.", param=name)
    if uploads:
        _check_size(_size(uploads[0]))
        return uploads[0]
    if form.get(name):
        raise InvalidParameter(
            f"Invalid '{name}': Expected UploadFile, received: <class 'str'>. "
            "Send the audio as a file part: its Content-Disposition needs a filename.",
            param=name,
        )
    raise MissingParameter(f"Missing required parameter: '{name}'.", param=name)


def _check_size(size: int) -> None:
    if size > (limit := current_app.config["MAX_UPLOAD_BYTES"]):
        raise _over_limit(limit, size)


def _size(upload: FileStorage) -> int:
    size = upload.stream.seek(0, SEEK_END)
    upload.stream.seek(0)
    return size
