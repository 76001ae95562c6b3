import errno
import logging

import pytest
from werkzeug.exceptions import ImATeapot

from app import errors
from app.api.application import incoming
from tests.unit.scripted import error_of

URL = "/v1/audio/transcriptions"


@pytest.mark.parametrize(
    ("method", "path", "message", "code"),
    [
        ("POST", "/v1/foo", "Invalid URL (POST /v1/foo)", None),
        ("GET", "/v1/", "Invalid URL (GET /v1/)", None),
        ("POST", f"{URL}s/", f"Invalid URL (POST {URL}s/)", None),
        ("POST", "/v1//audio", "Invalid URL (POST /v1//audio)", None),
        ("GET", "/page", "Unknown request URL: GET /page. Please check the URL for typos.", "unknown_url"),
        (
            "POST",
            "/V2/x",
            "Unknown request URL: POST /V2/x. Please check the URL for typos.",
            "unknown_url",
        ),
        (
            "POST",
            "/v1audio/transcriptions",
            "Unknown request URL: POST /v1audio/transcriptions. Please check the URL for typos. "
            f"Did you mean {URL}?",
            "unknown_url",
        ),
        (
            "POST",
            "/openai/deployments/whisper/embeddings",
            "Unknown request URL: POST /openai/deployments/whisper/embeddings. "
            "Please check the URL for typos.",
            "unknown_url",
        ),
        (
            "GET",
            "/static/x",
            "Unknown request URL: GET /static/x. Please check the URL for typos.",
            "unknown_url",
        ),
    ],
)
def test_unknown_urls(client, method, path, message, code):
    response = client.open("/", method=method, environ_overrides={"PATH_INFO": path})
    assert response.status_code == 404
    assert error_of(response) == {
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": code,
    }


def test_a_leading_double_slash_is_served_and_not_redirected(client):
    response = client.open("/", method="POST", environ_overrides={"PATH_INFO": f"/{URL}"})
    assert response.status_code == 400
    assert error_of(response)["message"].startswith("Could not parse multipart form")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_wrong_methods(client, method):
    response = client.open(URL, method=method)
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
    assert error_of(response) == {
        "message": f"Not allowed to {method} on {URL}. "
        "(HINT: Perhaps you meant to use a different HTTP method?)",
        "type": "invalid_request_error",
        "param": None,
        "code": "method_not_supported",
    }


def _failing(app, error):
    def fail():
        raise error

    app.add_url_rule("/v1/fail", view_func=fail)
    return app.test_client().get("/v1/fail", headers={"X-Request-ID": "req_mine"})


@pytest.mark.parametrize(
    ("error", "status", "fields"),
    [
        (errors.MissingParameter("m", param="file"), 400, ("invalid_request_error", "file", None)),
        (errors.InvalidParameter("m", param="p"), 400, ("invalid_request_error", "p", "invalid_value")),
        (errors.InvalidParameter("m", code="c"), 400, ("invalid_request_error", None, "c")),
        (errors.InvalidLanguage("m"), 400, ("invalid_request_error", None, "invalid_language_format")),
        (errors.UnsupportedValue("m"), 400, ("invalid_request_error", None, "unsupported_value")),
        (errors.UnparsableBody("m"), 400, ("invalid_request_error", None, None)),
        (errors.UndecodableAudio("m", param="file"), 400, ("invalid_request_error", "file", "invalid_value")),
        (errors.AudioTooShort("m", param="file"), 400, ("invalid_request_error", "file", "audio_too_short")),
        (errors.AudioTooLong("m"), 400, ("invalid_request_error", None, "invalid_value")),
        (errors.Unauthorized("m"), 401, ("invalid_request_error", None, None)),
        (errors.IncorrectKey("m"), 401, ("invalid_request_error", None, "invalid_api_key")),
        (errors.ModelNotFound("m"), 404, ("invalid_request_error", None, "model_not_found")),
        (errors.BodyStalled("m"), 408, ("invalid_request_error", None, "request_timeout")),
        (errors.UploadTooLarge("m"), 413, ("server_error", None, None)),
        (errors.EngineFailure("m"), 500, ("server_error", None, None)),
        (errors.ServerBusy("m"), 503, ("server_error", None, None)),
        (errors.RequestTimeout("m"), 504, ("server_error", None, "request_timeout")),
        (errors.ClientGone("m"), 499, ("server_error", None, None)),
    ],
)
def test_each_error_of_the_tree(app, error, status, fields):
    response = _failing(app, error)
    assert response.status_code == status
    assert tuple(error_of(response).values()) == ("m", *fields)
    assert response.headers["x-request-id"] == "req_mine"


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (errors.EngineFailure("m"), "x-should-retry", "false"),
        (errors.RequestTimeout("m"), "x-should-retry", "false"),
        (errors.ServerBusy("m", retry_after_seconds=7), "Retry-After", "7"),
        (errors.ServerBusy("m", retry_after_seconds=900), "Retry-After", "120"),
        (errors.UnparsableBody("m"), "x-should-retry", None),
        (errors.UnparsableBody("m"), "Retry-After", None),
    ],
)
def test_what_clients_are_told_about_retrying(app, error, header, value):
    assert _failing(app, error).headers.get(header) == value


@pytest.mark.parametrize(
    ("error", "value"),
    [
        (errors.UpstreamFailure("m"), "false"),
        (errors.UpstreamFailure.refused(429, "m"), "false"),
        (errors.SpeechError("m"), "false"),
        (errors.RequestTimeout("m"), "false"),
        (errors.ServerBusy("m"), None),
    ],
)
def test_what_the_model_has_worked_for_is_not_sent_again(app, error, value):
    @app.before_request
    def have_worked():
        incoming().cost.start_call()
        incoming().cost.finish_call(windows=1, queue_seconds=0.0, model_seconds=1.0)

    response = _failing(app, error)
    assert response.headers.get("x-should-retry") == value
    assert (response.headers.get("Retry-After") is None) == (value == "false")


def test_an_upstream_that_fails_before_the_model_has_worked_may_be_asked_again(app):
    assert "x-should-retry" not in _failing(app, errors.UpstreamFailure("m")).headers


def test_an_unforeseen_error_is_logged_with_the_request_id_and_never_shown(app, caplog):
    response = _failing(app, RuntimeError("secret detail"))
    assert response.status_code == 500
    error = error_of(response)
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, None)
    assert "req_mine" in error["message"]
    assert "secret" not in response.text
    assert response.headers["x-should-retry"] == "false"
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (record.getMessage(), record.fields) == ("GET /v1/fail failed", {"request_id": "req_mine"})
    assert "secret detail" in caplog.text


def test_an_engine_failure_is_logged_with_its_traceback(app, caplog):
    _failing(app, errors.EngineFailure("the engine died"))
    [record] = caplog.records
    assert (record.getMessage(), record.fields) == ("the engine died", {"request_id": "req_mine"})
    assert record.exc_info


def test_other_http_errors_keep_their_status_and_words(app):
    response = _failing(app, ImATeapot("short and stout"))
    assert response.status_code == 418
    assert error_of(response)["message"] == "short and stout"


def test_an_os_error_that_is_no_shortage_is_unforeseen(app, client, caplog):
    def fail():
        raise FileNotFoundError(errno.ENOENT, "No such file", "/etc/secret")

    app.add_url_rule("/fails", view_func=fail)
    response = client.get("/fails")
    assert response.status_code == 500
    assert "secret" not in error_of(response)["message"]
    assert "/etc/secret" in caplog.text
