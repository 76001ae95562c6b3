import re
from collections.abc import Iterator

import pytest

from app import errors
from app.errors import (
    AudioTooLong,
    AudioTooShort,
    BodyStalled,
    CheckpointError,
    ClientGone,
    EngineFailure,
    IncorrectKey,
    InvalidLanguage,
    InvalidParameter,
    InvalidRequest,
    MissingParameter,
    ModelConflict,
    ModelNotFound,
    ModelNotLoaded,
    NoUpstream,
    OriginRefused,
    PermissionDenied,
    RequestTimeout,
    ServerBusy,
    SpeechError,
    SpeechTooLong,
    SpeechUnavailable,
    StartError,
    SynthesisFailure,
    Unauthorized,
    UndecodableAudio,
    UnparsableBody,
    UnsupportedValue,
    UpgradeRequired,
    UploadTooLarge,
    UpstreamFailure,
    listed,
)

TABLE = [
    (SpeechError, 500, "server_error", None),
    (InvalidRequest, 400, "invalid_request_error", None),
    (MissingParameter, 400, "invalid_request_error", None),
    (InvalidParameter, 400, "invalid_request_error", "invalid_value"),
    (InvalidLanguage, 400, "invalid_request_error", "invalid_language_format"),
    (UnsupportedValue, 400, "invalid_request_error", "unsupported_value"),
    (SpeechTooLong, 400, "invalid_request_error", "invalid_value"),
    (UnparsableBody, 400, "invalid_request_error", None),
    (UndecodableAudio, 400, "invalid_request_error", "invalid_value"),
    (AudioTooShort, 400, "invalid_request_error", "audio_too_short"),
    (AudioTooLong, 400, "invalid_request_error", "invalid_value"),
    (Unauthorized, 401, "invalid_request_error", None),
    (IncorrectKey, 401, "invalid_request_error", "invalid_api_key"),
    (PermissionDenied, 403, "invalid_request_error", "insufficient_permissions"),
    (OriginRefused, 403, "invalid_request_error", "origin_not_allowed"),
    (ModelNotFound, 404, "invalid_request_error", "model_not_found"),
    (ModelNotLoaded, 404, "invalid_request_error", "model_not_loaded"),
    (NoUpstream, 404, "invalid_request_error", "unknown_url"),
    (ModelConflict, 409, "invalid_request_error", None),
    (BodyStalled, 408, "invalid_request_error", "request_timeout"),
    (UploadTooLarge, 413, "server_error", None),
    (UpgradeRequired, 426, "invalid_request_error", None),
    (EngineFailure, 500, "server_error", None),
    (SynthesisFailure, 500, "server_error", None),
    (SpeechUnavailable, 501, "server_error", None),
    (UpstreamFailure, 502, "server_error", None),
    (ServerBusy, 503, "server_error", None),
    (RequestTimeout, 504, "server_error", "request_timeout"),
    (ClientGone, 499, "server_error", None),
]


def tree(root: type[Exception], indent: str = "") -> Iterator[tuple[int, str]]:
    """Every class under `root` with its depth, in the order of definition."""
    yield len(indent) // 4, root.__name__
    for child in root.__subclasses__():
        yield from tree(child, indent + "    ")


def drawn(docstring: str) -> list[tuple[int, str]]:
    """The classes in the docstring's drawing with their depths."""
    lines = re.findall(r"^    ([│├└─ ]*)([A-Z]\w+)", docstring, re.MULTILINE)
    return [(len(indent) // 4, name) for indent, name in lines]


def test_the_docstring_draws_the_tree() -> None:
    assert drawn(errors.__doc__ or "") == [*tree(SpeechError), *tree(StartError)]


@pytest.mark.parametrize(("error", "status", "kind", "code"), TABLE)
def test_says_how_it_is_answered(error: type[SpeechError], status: int, kind: str, code: str | None) -> None:
    raised = error("No.")
    assert (raised.status, raised.type, raised.code) == (status, kind, code)
    assert (raised.message, str(raised), raised.param) == ("No.", "No.", None)


def test_every_error_is_in_the_table() -> None:
    assert {row[0].__name__ for row in TABLE} == {name for _, name in tree(SpeechError)}


@pytest.mark.parametrize("error", [MissingParameter, InvalidParameter, UndecodableAudio, ModelNotFound])
def test_names_its_parameter(error: type[SpeechError]) -> None:
    assert error("No.", param="file").param == "file"


def test_an_invalid_parameter_can_be_more_precise() -> None:
    precise = InvalidParameter("Too high.", param="temperature", code="decimal_above_max_value")
    assert precise.code == "decimal_above_max_value"
    assert InvalidParameter("No.").code == "invalid_value"


@pytest.mark.parametrize(("wanted", "told"), [(-3, 1), (0, 1), (1, 1), (30, 30), (120, 120), (900, 120)])
def test_a_busy_server_names_a_wait_that_clients_accept(wanted: int, told: int) -> None:
    assert ServerBusy("Busy.", retry_after_seconds=wanted).retry_after_seconds == told


@pytest.mark.parametrize(
    ("error", "retry"), [(EngineFailure, False), (RequestTimeout, False), (ServerBusy, None)]
)
def test_tells_when_retrying_is_in_vain(error: type[SpeechError], retry: bool | None) -> None:
    assert error("No.").retry is retry


def test_errors_at_the_start_never_reach_a_client() -> None:
    assert not issubclass(StartError, SpeechError)
    assert issubclass(CheckpointError, StartError)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], ""),
        (["json"], "'json'"),
        (["json", "text"], "'json' and 'text'"),
        (["json", "text", "srt"], "'json', 'text', and 'srt'"),
        ((1, 2.5, None), "'1', '2.5', and 'None'"),
    ],
)
def test_listed_as_openais_messages_do(values: list[object], text: str) -> None:
    assert listed(values) == text
    assert listed(iter(values)) == text
