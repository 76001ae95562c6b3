"""All errors of the server, as one tree.

Their messages are for the caller; `app.api.error_body` alone turns them into HTTP.

    SpeechError                     500  server_error
    ├── InvalidRequest              400  invalid_request_error
    │   ├── MissingParameter
    │   ├── InvalidParameter             invalid_value
    │   │   ├── InvalidLanguage          invalid_language_format
    │   │   ├── UnsupportedValue         unsupported_value
    │   │   └── SpeechTooLong
    │   ├── UnparsableBody
    │   ├── UndecodableAudio             invalid_value
    │   ├── AudioTooShort                audio_too_short
    │   └── AudioTooLong                 invalid_value
    ├── Unauthorized                401  invalid_request_error
    │   └── IncorrectKey                 invalid_api_key
    ├── PermissionDenied            403  insufficient_permissions
    ├── OriginRefused               403  invalid_request_error
    ├── ModelNotFound               404  model_not_found
    ├── ModelNotLoaded              404  model_not_loaded
    ├── NoUpstream                  404  unknown_url
    ├── ModelConflict               409  model_already_loaded, model_in_use
    ├── BodyStalled                 408  request_timeout
    ├── UploadTooLarge              413  server_error
    ├── UpgradeRequired             426  invalid_request_error
    ├── EngineFailure               500  server_error
    ├── SynthesisFailure            500  server_error
    ├── SpeechUnavailable           501  server_error
    ├── UpstreamFailure             502  server_error
    ├── ServerBusy                  503  server_error
    ├── RequestTimeout              504  request_timeout
    └── ClientGone                  499  (not sent: the client has gone)
    StartError                      stops the start of the server; never reaches a client
    └── CheckpointError
        └── DownloadFailed
"""

from collections.abc import Iterable


class SpeechError(Exception):
    """Base of all errors that end a request.

    `status`, `type` and `code` are the HTTP status and the fields of OpenAI's error body. `retry` is
    whether sending the same request again can help (`x-should-retry`; None: the client decides).
    """

    status = 500
    type = "server_error"
    code: str | None = None
    retry: bool | None = None
    retry_after_seconds: int | None = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class InvalidRequest(SpeechError):
    """The request can't be answered as it was sent."""

    status = 400
    type = "invalid_request_error"


class MissingParameter(InvalidRequest):
    """A required field is absent or empty."""


class InvalidParameter(InvalidRequest):
    """A field has a value of the wrong type or outside what is allowed."""

    code: str | None = "invalid_value"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, param=param)
        self.code = code or type(self).code


class InvalidLanguage(InvalidParameter):
    """`language` is neither an ISO-639-1 code nor an English language name that Whisper knows."""

    code = "invalid_language_format"


class UnsupportedValue(InvalidParameter):
    """A valid value that this combination of model and fields does not support."""

    code = "unsupported_value"


class SpeechTooLong(InvalidParameter):
    """The speech of the text is longer than the server allows."""


class UnparsableBody(InvalidRequest):
    """The body is not the form or JSON that its Content-Type says."""


class UndecodableAudio(InvalidRequest):
    """The file is not audio in a supported container, or has no audio track."""

    code = "invalid_value"


class AudioTooShort(InvalidRequest):
    """Less than 0.1 s of audio."""

    code = "audio_too_short"


class AudioTooLong(InvalidRequest):
    """More audio than the server takes, or more work than its limits allow."""

    code = "invalid_value"


class Unauthorized(SpeechError):
    """The request has no API key, and this server requires one."""

    status = 401
    type = "invalid_request_error"


class IncorrectKey(Unauthorized):
    """The request's API key is not one of this server's."""

    code = "invalid_api_key"


class PermissionDenied(SpeechError):
    """The request's API key is good, but not for this."""

    status = 403
    type = "invalid_request_error"
    code = "insufficient_permissions"


class OriginRefused(SpeechError):
    """A web page of another origin opens a connection that browsers don't guard."""

    status = 403
    type = "invalid_request_error"
    code = "origin_not_allowed"


class ModelNotFound(SpeechError):
    """The request names a model that is not served here."""

    status = 404
    type = "invalid_request_error"
    code = "model_not_found"


class ModelNotLoaded(SpeechError):
    """The model that is to be unloaded is not loaded."""

    status = 404
    type = "invalid_request_error"
    code = "model_not_loaded"


class NoUpstream(SpeechError):
    """The URL is one that only another server can answer, and none is configured."""

    status = 404
    type = "invalid_request_error"
    code = "unknown_url"


class ModelConflict(SpeechError):
    """The model can't be loaded or unloaded, because of what it is at present."""

    status = 409
    type = "invalid_request_error"
    retry = False

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, param=param)
        self.code = code


class BodyStalled(SpeechError):
    """The client stopped sending before the end of the body."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class UploadTooLarge(SpeechError):
    """More bytes than the server takes."""

    status = 413


class UpgradeRequired(SpeechError):
    """The URL is one for WebSockets, and the request is no handshake for one, or a wrong one."""

    status = 426
    type = "invalid_request_error"


class EngineFailure(SpeechError):
    """The model failed on this request's windows."""

    retry = False


class SynthesisFailure(SpeechError):
    """A text could not be synthesized."""

    retry = False


class SpeechUnavailable(SpeechError):
    """This server has no synthesizer; the message says what to install."""

    status = 501
    retry = False


class UpstreamFailure(SpeechError):
    """The upstream server of chats can't be reached or refused; then the error body is its own."""

    status = 502

    @classmethod
    def refused(cls, status: int, message: str, **fields: str | None) -> "UpstreamFailure":
        """The upstream's own error: its HTTP status, and `type`, `param`, `code` of its error body."""
        error = cls(message, param=fields.get("param"))
        error.status = status
        error.type = fields.get("type") or cls.type
        error.code = fields.get("code")
        return error


class ServerBusy(SpeechError):
    """The server can't take this request now; `retry_after_seconds` is when to try again."""

    status = 503

    def __init__(self, message: str, *, retry_after_seconds: int = 5) -> None:
        super().__init__(message)
        self.retry_after_seconds = max(1, min(120, retry_after_seconds))


class RequestTimeout(SpeechError):
    """The request's deadline has passed."""

    status = 504
    code = "request_timeout"
    retry = False


class ClientGone(SpeechError):
    """The client closed its connection before the answer was ready."""

    status = 499


class StartError(Exception):
    """The server can't start; the message says what to do."""


class CheckpointError(StartError):
    """The model's weights are missing, damaged, unknown or can't be downloaded."""


class DownloadFailed(CheckpointError):
    """A download failed, or its sha256 is wrong."""


def listed(values: Iterable[object]) -> str:
    """Values as OpenAI's messages list them: `'a', 'b', and 'c'`."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
