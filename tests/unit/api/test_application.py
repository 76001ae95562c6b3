import io
import itertools
import math
import socket

import pytest
from gunicorn.http.errors import InvalidChunkSize
from werkzeug.test import EnvironBuilder

from app import create_app
from app.admission import DRAINING, READING, TransferSlot
from app.api import application
from app.api.application import DRAIN_SECONDS, CountedInput, IncomingRequest
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
    """A client that stops in the middle of its body, as a ClientSocket tells it."""

    def __init__(self):
        self.reads = 0

    def read(self, size):
        self.reads += 1
        if self.reads == 1:
            return b"--B\r\n"
        raise BlockingIOError("Resource temporarily unavailable")


class Watched:
    """A body that notes how many are being read and dropped while it is."""

    def __init__(self, body, runtime):
        self.rest = io.BytesIO(body)
        self.seen = []
        self.admission = runtime.admission

    def read(self, size=-1):
        self.seen.append((self.admission.reading.taken, self.admission.draining.taken))
        return self.rest.read(size)


class Connection:
    """Gunicorn's socket, as far as a request knows it."""

    def __init__(self, continue_expected=False):
        self.continue_expected = continue_expected
        self.deadline, self.slot = math.inf, None

    def recv(self, size, flags):
        raise BlockingIOError


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


@pytest.fixture
def clock(monkeypatch):
    """Time that passes with each look at it."""
    times = itertools.count(0, 0.1)
    monkeypatch.setattr(application, "monotonic", lambda: next(times))


def test_an_endless_body_is_read_within_bounds(client, clock):
    body = Endless()
    response = _post(client, "/v1/nowhere", body)
    assert (response.status_code, response.headers["Connection"]) == (404, "close")
    assert 0 < body.given <= 65_536 * DRAIN_SECONDS / 0.1


def test_an_endless_upload_is_413(client, app, clock):
    body = Endless()
    sent = upload(body, None, "multipart/form-data; boundary=B")
    response = client.post(URL, environ_overrides=sent)
    assert (response.status_code, response.headers["Connection"]) == (413, "close")
    assert error_of(response)["message"].startswith("Maximum content size limit (2097152) exceeded (")
    assert body.given <= app.config["MAX_CONTENT_LENGTH"] + 65_536 * (1 + DRAIN_SECONDS / 0.1)


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
    request.abandon()
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
    assert body.reads == 2
    assert (runtime.admission.reading.taken, runtime.admission.draining.taken) == (0, 0)


def test_an_unwanted_body_that_stalls_keeps_its_answer(client, runtime):
    body = Stalling()
    response = _post(client, "/v1/nowhere", body)
    assert response.status_code == 404
    assert response.headers["Connection"] == "close"
    assert body.reads == 2
    assert (runtime.admission.reading.taken, runtime.admission.draining.taken) == (0, 0)


FORM = "multipart/form-data; boundary=B"


@pytest.mark.parametrize("kind", [FORM, "application/json"])
@pytest.mark.parametrize("length", [None, 70_000])
def test_a_place_is_held_while_a_wanted_body_is_read(client, runtime, kind, length):
    body = Watched(b"x" * 70_000, runtime)
    response = client.post(URL, environ_overrides=upload(body, length, kind))
    assert response.status_code == 400
    assert body.rest.tell() == 70_000
    assert body.seen[0] == (1, 0)
    assert set(body.seen) <= {(1, 0), (0, 1)}, "what is left of it is dropped"
    assert "Connection" not in response.headers
    assert (runtime.admission.reading.taken, runtime.admission.draining.taken) == (0, 0)


REFUSED = {
    "no such URL": ("/v1/nowhere", None, None, 404),
    "another method": ("/health", None, None, 405),
    "another type": (URL, None, "text/plain", 400),
    "too long": (URL, 70_000_000, FORM, 413),
    "JSON that is too long": (URL, 70_000_000, "application/json", 413),
    "no key": (URL, None, FORM, 401),
}
"""The path, the length and the type of the body, and the status."""


@pytest.fixture(params=REFUSED.values(), ids=REFUSED)
def refused(request, runtime):
    """Sends a body that is refused by its head; the answer's status is the right one."""
    path, length, kind, status = request.param
    keys = ("secret",) if status == 401 else ()
    client = create_app(Settings(max_upload_mb=1, api_keys=keys), runtime).test_client()

    def send(body, connection=None):
        environ = upload(body, length, kind) | {"gunicorn.socket": connection}
        response = client.post(path, environ_overrides=environ)
        assert response.status_code == status
        return response

    return send


@pytest.fixture
def no_place_to_read(monkeypatch, runtime):
    def take():
        raise AssertionError("it takes a reader's slot")

    monkeypatch.setattr(runtime.admission.reading, "take", take)


def test_a_refused_body_is_dropped_without_a_readers_place(refused, runtime, no_place_to_read):
    body = Watched(b"x" * 70_000, runtime)
    response = refused(body)
    assert body.rest.tell() == 70_000
    assert set(body.seen) == {(0, 1)}
    assert runtime.admission.draining.taken == 0
    closed = response.status_code == 413  # its length says that there is more
    assert response.headers.get("Connection") == ("close" if closed else None)


def test_so_many_bodies_are_dropped_at_a_time_and_no_more(refused, runtime, no_place_to_read):
    held = [runtime.admission.draining.take() for _ in range(DRAINING)]
    assert all(held)
    body = Watched(b"x" * 70_000, runtime)
    response = refused(body)
    assert response.headers["Connection"] == "close"
    assert body.seen == []
    assert runtime.admission.draining.taken == DRAINING
    runtime.admission.draining.give_back(held[0])
    refused(body)
    assert set(body.seen) == {(0, DRAINING)}


def test_a_body_that_is_held_back_is_not_asked_for(refused, runtime, no_place_to_read):
    body = Watched(b"x" * 70_000, runtime)
    response = refused(body, Connection(continue_expected=True))
    assert response.headers["Connection"] == "close"
    assert body.seen == []


def test_a_body_that_was_asked_for_is_dropped_like_any_other(refused, runtime, no_place_to_read):
    body = Watched(b"x" * 70_000, runtime)
    refused(body, Connection(continue_expected=False))
    assert body.rest.tell() == 70_000


def test_a_body_is_dropped_within_the_connections_deadline(refused, runtime, clock):
    connection, seen = Connection(), []

    class Body:
        def read(self, size):
            seen.append((connection.deadline, connection.slot))
            return b""

    refused(Body(), connection)
    deadline, slot = seen[0]
    assert deadline == pytest.approx(DRAIN_SECONDS, abs=1)
    assert isinstance(slot, TransferSlot)
    assert (connection.deadline, connection.slot) == (math.inf, None)


def test_a_body_is_read_in_a_place_of_its_connection(client, runtime):
    connection, seen = Connection(), []

    class Body(io.BytesIO):
        def read(self, size=-1):
            seen.append(connection.slot)
            return super().read(size)

    environ = upload(Body(b"{}"), 2, "application/json") | {"gunicorn.socket": connection}
    assert client.post(URL, environ_overrides=environ).status_code == 400
    assert all(isinstance(slot, TransferSlot) for slot in seen)
    assert connection.slot is None
    assert runtime.admission.reading.taken == 0


def test_a_body_that_lost_its_place_is_told_so(client, runtime):
    connection = Connection()

    class Slow:
        def read(self, size):
            connection.slot.lost = True
            raise BlockingIOError

    environ = upload(Slow(), None, "application/json") | {"gunicorn.socket": connection}
    response = client.post(URL, environ_overrides=environ)
    assert (response.status_code, response.headers["Connection"]) == (408, "close")
    assert error_of(response)["message"] == (
        "The body came too slowly while others waited: 0 bytes so far, less than 65536 bytes per second. "
        "Please retry."
    )
    assert runtime.admission.reading.taken == 0


@pytest.mark.parametrize("kind", [FORM, "application/json"])
def test_without_a_place_nothing_is_read(client, runtime, kind):
    held = [runtime.admission.reading.take() for _ in range(READING)]
    drained = [runtime.admission.draining.take() for _ in range(DRAINING)]
    assert all(held) and all(drained)
    body = Watched(b"x" * 70_000, runtime)
    response = client.post(URL, environ_overrides=upload(body, 70_000, kind))
    assert response.status_code == 503
    assert f"reading {READING} uploads" in error_of(response)["message"]
    assert (response.headers["Retry-After"], response.headers["Connection"]) == ("5", "close")
    assert body.seen == []


@pytest.mark.parametrize("length", ["0", None])
def test_what_has_no_body_needs_no_place(client, runtime, no_place_to_read, length):
    held = [runtime.admission.draining.take() for _ in range(DRAINING)]
    assert all(held)
    environ = {} if length is None else {"CONTENT_LENGTH": length}
    for path, status in (("/health", 200), ("/v1/nowhere", 404)):
        response = client.get(path, environ_overrides=environ)
        assert response.status_code == status
        assert "Connection" not in response.headers


def test_a_body_that_was_read_leaves_its_place_before_the_work_begins(client, runtime, monkeypatch):
    taken = []
    admit = runtime.admission.admit

    def note(caller, pace):
        taken.append(runtime.admission.reading.taken)
        return admit(caller)

    monkeypatch.setattr(runtime.admission, "admit", note)
    form = {"model": "whisper-1", "file": (io.BytesIO(b"RIFF"), "a.wav")}
    assert client.post(URL, data=form).status_code == 200
    assert taken == [0]


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=b", "application/json"])
def test_chunks_that_do_not_follow_http_are_the_clients_fault(client, content_type):
    response = client.post(URL, environ_overrides=upload(NotHttp(), None, content_type))
    assert response.status_code == 400
    assert "cut off" in error_of(response)["message"]


def test_chunks_that_nobody_wanted_do_no_harm(client):
    assert _post(client, "/v1/nowhere", NotHttp()).status_code == 404
