import io
import socket

import pytest
from gunicorn.http.errors import InvalidChunkSize
from werkzeug.test import EnvironBuilder

from app import create_app
from app.admission import DRAINING
from app.api import application
from app.api.application import CountedInput, IncomingRequest
from app.errors import ServerBusy
from app.settings import Settings
from tests.unit.scripted import error_of, upload

URL = "/v1/audio/transcriptions"


class Endless:
    """A client that never stops sending."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int) -> bytes:
        self.given += size
        return b"x" * size


class Broken:
    """A connection that dies in the middle of a body."""

    def read(self, size: int) -> bytes:
        raise OSError("connection reset")


class Stalling:
    """A client that stops in the middle of its body, as a socket with SO_RCVTIMEO tells it."""

    def __init__(self):
        self.reads = 0

    def read(self, size):
        self.reads += 1
        if self.reads == 1:
            return b"--B\r\n"
        raise BlockingIOError("Resource temporarily unavailable")


class Watched:
    """A body that notes how many are being read, and how many dropped, while it is."""

    def __init__(self, body, runtime):
        self.rest = io.BytesIO(body)
        self.seen = []
        self.runtime = runtime

    def read(self, size=-1):
        self.seen.append((self.runtime.bodies_read, self.runtime.bodies_dropped))
        return self.rest.read(size)


class NotHttp:
    """A chunked body that Gunicorn can't follow: what it raises is neither an OSError nor a ValueError."""

    def read(self, size: int) -> bytes:
        raise InvalidChunkSize(b"zz")


def _post(client, path, stream, length=None):
    return client.post(path, environ_overrides=upload(stream, length))


def test_counted_input_counts():
    counted = CountedInput(io.BytesIO(b"12345"))
    assert (counted.read(3), counted.bytes_read) == (b"123", 3)
    assert (counted.read(), counted.bytes_read) == (b"45", 5)
    assert (counted.read(3), counted.bytes_read) == (b"", 5)


@pytest.mark.parametrize("path", ["/v1/nowhere", "/health", URL])
def test_an_unwanted_body_is_read_to_its_end(client, path):
    body = io.BytesIO(b"x" * 300_000)
    response = _post(client, path, body)
    assert response.status_code in (400, 404, 405)
    assert body.tell() == 300_000


def test_a_body_with_a_length_is_read_to_that_length_and_no_further(client):
    body = io.BytesIO(b"x" * 1000)
    assert _post(client, "/v1/nowhere", body, 400).status_code == 404
    assert body.tell() == 400


def test_an_endless_body_is_read_for_a_while(client, monkeypatch):
    monkeypatch.setattr(application, "DRAIN_SECONDS", 0.05)
    body = Endless()
    response = _post(client, "/v1/nowhere", body)
    assert (response.status_code, response.headers["Connection"]) == (404, "close")
    assert body.given > 0


def test_an_endless_upload_is_413(client, app, monkeypatch):
    monkeypatch.setattr(application, "DRAIN_SECONDS", 0.0)
    body = Endless()
    sent = upload(body, None, "multipart/form-data; boundary=B")
    response = client.post(URL, environ_overrides=sent)
    assert response.status_code == 413
    assert error_of(response)["message"].startswith("Maximum content size limit (2097152) exceeded (")
    assert body.given <= 2 * app.config["MAX_CONTENT_LENGTH"] + 64 * 1024


def test_a_connection_that_breaks_while_it_is_drained_is_no_failure(client):
    assert _post(client, "/v1/nowhere", Broken()).status_code == 404


def test_a_body_shorter_than_its_length_is_no_failure_either(client):
    assert _post(client, "/v1/nowhere", io.BytesIO(b"abc"), 100).status_code == 404


@pytest.fixture
def connection():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        environ = EnvironBuilder().get_environ() | {"gunicorn.socket": ours}
        yield IncomingRequest(environ), ours, theirs


def test_a_waiting_client_is_not_gone(connection):
    request, _, _ = connection
    assert not request.client_gone()


def test_a_client_that_has_sent_more_is_not_gone_and_loses_nothing(connection):
    request, ours, theirs = connection
    theirs.sendall(b"GET")
    assert not request.client_gone()
    assert ours.recv(3) == b"GET"


def test_a_client_that_has_closed_is_gone(connection):
    request, _, theirs = connection
    theirs.close()
    assert request.client_gone()


def test_without_gunicorns_socket_nobody_is_ever_gone():
    assert not IncomingRequest(EnvironBuilder().get_environ()).client_gone()


def test_json_keeps_its_order_and_has_no_nan(app):
    assert app.json.dumps({"b": 1, "a": 2}) == '{"b": 1, "a": 2}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        app.json.dumps({"a": float("nan")})


def test_whoever_gave_up_is_gone(connection):
    request, *_ = connection
    request.give_up()
    assert request.client_gone()


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=B", "application/json"])
def test_a_body_that_stalls_is_408_and_read_no_further(client, runtime, kind):
    body = Stalling()
    response = client.post(URL, environ_overrides=upload(body, None, kind))
    assert response.status_code == 408
    assert error_of(response) == {
        "message": "The body stopped after 5 bytes: no more came for as long as this server waits "
        "(WHISPER_STALL_SECONDS).",
        "type": "invalid_request_error",
        "param": None,
        "code": "request_timeout",
    }
    assert response.headers["Connection"] == "close"
    assert (body.reads, runtime.bodies_read) == (2, 0)


def test_an_unwanted_body_that_stalls_keeps_its_answer(client, runtime):
    body = Stalling()
    response = _post(client, "/v1/nowhere", body)
    assert response.status_code == 404
    assert response.headers["Connection"] == "close"
    assert (body.reads, runtime.bodies_read) == (2, 0)


@pytest.mark.parametrize(
    ("path", "content_type", "places"),
    [(URL, "application/json", (1, 0)), (URL, "text/plain", (0, 1)), ("/v1/nowhere", "text/plain", (0, 1))],
)
def test_a_place_is_held_while_a_body_is_read(client, runtime, path, content_type, places):
    for length in (None, 70_000):
        body = Watched(b"x" * 70_000, runtime)
        response = client.post(path, environ_overrides=upload(body, length, content_type))
        assert body.rest.tell() == 70_000
        assert set(body.seen) == {places}
        assert (runtime.bodies_read, runtime.bodies_dropped) == (0, 0)
        assert "Connection" not in response.headers


@pytest.fixture
def dropping_none(runtime):
    """Others' bodies are being dropped, as many as can be at a time."""
    for _ in range(DRAINING):
        assert runtime.admission.draining.take()


@pytest.mark.usefixtures("dropping_none")
def test_without_a_place_nothing_is_read(client, runtime):
    runtime.admission.reading_full = ServerBusy("full", retry_after_seconds=7)
    body = Watched(b"x" * 70_000, runtime)
    response = client.post(URL, environ_overrides=upload(body, None, "application/json"))
    assert response.status_code == 503
    assert error_of(response)["message"] == "full"
    assert (response.headers["Retry-After"], response.headers["Connection"]) == ("7", "close")
    assert body.seen == []


@pytest.mark.usefixtures("dropping_none")
@pytest.mark.parametrize(("path", "status"), [(URL, 400), ("/v1/nowhere", 404), ("/health", 405)])
def test_without_a_place_nothing_is_dropped(client, runtime, path, status):
    body = Watched(b"x" * 70_000, runtime)
    response = _post(client, path, body)
    assert (response.status_code, response.headers["Connection"], body.seen) == (status, "close", [])


def test_what_has_no_body_needs_no_place(client, runtime):
    runtime.admission.reading_full = ServerBusy("full")
    response = client.get("/health")
    assert response.status_code == 200
    assert "Connection" not in response.headers


def test_a_strangers_body_is_dropped(runtime):
    client = create_app(Settings(api_keys=("secret",)), runtime).test_client()
    body = Watched(b"x" * 70_000, runtime)
    assert _post(client, URL, body).status_code == 401
    assert set(body.seen) == {(0, 1)}


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=b", "application/json"])
def test_chunks_that_do_not_follow_http_are_the_clients_fault(client, content_type):
    response = client.post(URL, environ_overrides=upload(NotHttp(), None, content_type))
    assert response.status_code == 400
    assert "cut off" in error_of(response)["message"]


def test_chunks_that_nobody_wanted_do_no_harm(client):
    assert _post(client, "/v1/nowhere", NotHttp()).status_code == 404
