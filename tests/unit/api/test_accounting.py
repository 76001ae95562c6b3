"""The line of each request, and what is counted of it, however it ends."""

import hashlib
import io
import logging
import socket
import wave
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from flask import Response
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import TestResponse

from app import create_app
from app.engines.interface import Window, WindowOptions, WindowResult
from app.errors import ServerBusy
from app.runtime import Runtime
from app.settings import Settings
from tests.scripted_engine import ScriptedEngine, result, spell, ts
from tests.unit.scripted import ScriptedRuntime

URL = "/v1/audio/transcriptions"
KEY = "sk-secret-0123456789abcdef"


def answer(window: Window, options: WindowOptions) -> WindowResult:
    """The second window's first result is not sound; the third window can't be decoded."""
    if window.seek == 6_000:
        raise RuntimeError("broken")
    unlikely = window.seek == 3_000 and options.temperature == 0
    return result(*spell(" secret words."), ts(29), avg_logprob=-2.0 if unlikely else -0.2)


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(Settings(speech_floor=0.0), ScriptedEngine(answer))


@pytest.fixture(autouse=True)
def every_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "app.api.accounting")


def post(client: FlaskClient, seconds: int = 1, **fields: str) -> TestResponse:
    """A silent recording; streams are left open."""
    audio = io.BytesIO()
    with wave.open(audio, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(4_000)
        file.writeframes(bytes(4_000 * seconds))
    form = {"model": "whisper-1", "file": (io.BytesIO(audio.getvalue()), "a.wav"), **fields}
    return client.post(URL, data=form, buffered="stream" not in fields)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(entry)["fields"] for entry in caplog.records if entry.name == "app.api.accounting"]


def counted(client: FlaskClient, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(client.get("/metrics").text)
    found = [entry for family in families for entry in family.samples if entry.name == f"whisper_{name}"]
    return sum(entry.value for entry in found if labels.items() <= entry.labels.items())


def test_a_transcription(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    response = post(client, 45, temperature="0")
    [line] = lines(caplog)
    took = [line.pop(name) for name in ("queue_ms", "decode_ms", "model_ms", "total_ms")]
    assert all(isinstance(milliseconds, int) and milliseconds >= 0 for milliseconds in took)
    assert line == {
        "request_id": response.headers["x-request-id"],
        "who": "127.0.0.1",
        "method": "POST",
        "path": URL,
        "status": 200,
        "model": "whisper-1",
        "audio_seconds": 45.0,
        "windows": 3,
        "fallbacks": 1,
        "agent": f"Werkzeug/{line['agent'].partition('/')[2]}",
        "served": "scripted",
    }
    assert counted(client, "audio_seconds_total") == 45.0
    assert counted(client, "fallbacks_total") == 1.0
    assert counted(client, "requests_total", endpoint=URL, status="200") == 1.0


def test_no_word_of_it_is_logged(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert "secret words" in post(client, prompt="secret words").json["text"]
    assert post(client, 120, prompt="secret words").status_code == 500
    assert "secret" not in caplog.text.replace("test_", "")
    assert "broken" in caplog.text


def test_a_stream_is_written_down_at_its_end(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    response = post(client, 45, stream="true")
    body = response.iter_encoded()
    next(body)
    assert lines(caplog) == []
    assert list(body)
    response.close()
    [line] = lines(caplog)
    assert (line["status"], line["audio_seconds"], line["windows"]) == (200, 45.0, 3)


def test_a_stream_that_is_not_read_to_its_end_has_lost_its_client(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = post(client, 45, stream="true")
    next(response.iter_encoded())
    response.close()
    assert [line["status"] for line in lines(caplog)] == [499]
    assert counted(client, "requests_total", endpoint=URL, status="499") == 1.0
    assert counted(client, "audio_seconds_total") == 0.0


def broken_off(pieces: int) -> Iterator[bytes]:
    yield from [b"piece"] * pieces
    raise RuntimeError("torn")


@pytest.mark.parametrize(("read", "status"), [(0, 499), (1, 499), (2, 499), (3, 200), (4, 500)])
def test_any_answer_in_pieces_is_what_became_of_it(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, read: int, status: int
) -> None:
    """The third look finds the end of two pieces, or (told as 4) a failure."""
    app = create_app(Settings(), runtime)
    body = broken_off(2) if read == 4 else iter([b"piece"] * 2)
    app.add_url_rule("/pieces", view_func=lambda: Response(body))
    response = app.test_client().get("/pieces")
    taken = response.iter_encoded()
    with suppress(RuntimeError):
        assert [next(taken, b"end") for _ in range(read)][:2] == [b"piece"] * min(read, 2)
    response.close()
    assert [line["status"] for line in lines(caplog)] == [status]


def test_a_stream_that_breaks_off_is_a_failure(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    response = post(client, 120, stream="true")
    assert response.status_code == 200
    assert '"error"' in response.text
    response.close()
    assert [line["status"] for line in lines(caplog)] == [500]
    assert counted(client, "requests_total", endpoint=URL, status="500") == 1.0


def test_a_failure_before_the_first_event_keeps_its_status(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = post(client, stream="true", language="klingon")
    response.close()
    assert response.status_code == 400
    assert [line["status"] for line in lines(caplog)] == [400]


def test_a_client_that_left_before_its_answer(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        client.get("/v1/models", environ_overrides={"gunicorn.socket": ours}).close()
    assert [line["status"] for line in lines(caplog)] == [499]


def test_a_refused_request(caplog: pytest.LogCaptureFixture) -> None:
    runtime = ScriptedRuntime()
    runtime.admission.full, runtime.ready = ServerBusy("full"), False
    client = create_app(Settings(), runtime).test_client()
    assert post(client).status_code == client.get("/ready", buffered=True).status_code == 503
    assert [(line["path"], line["status"]) for line in lines(caplog)] == [(URL, 503), ("/ready", 503)]
    assert counted(client, "requests_refused_total") == 1.0


@pytest.mark.parametrize("path", ["/nowhere", "/v1/nowhere", "/v1/modelx/"])
def test_urls_that_do_not_exist_share_one_label(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    client.get("/", environ_overrides={"PATH_INFO": path}).close()
    assert [line["path"] for line in lines(caplog)] == [path]
    assert counted(client, "requests_total", endpoint="unknown", status="404") == 1.0


def test_a_route_with_a_name_in_it_is_one_label(client: FlaskClient) -> None:
    for name in ("a", "b", "whisper-1"):
        client.get(f"/v1/models/{name}").close()
    assert counted(client, "requests_total", endpoint="/v1/models/<path:name>") == 3.0


@pytest.mark.parametrize(
    ("sent", "who"), [(KEY, f"key:{hashlib.sha256(KEY.encode()).hexdigest()[:8]}"), ("sk-x", "127.0.0.1")]
)
def test_who_asks_is_told_without_the_key(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, sent: str, who: str
) -> None:
    caplog.set_level(logging.DEBUG)
    client = create_app(Settings(api_keys=(KEY,)), runtime).test_client()
    client.get("/v1/models", headers={"Authorization": f"Bearer {sent}"}).close()
    assert [line["who"] for line in lines(caplog)] == [who]
    assert sent not in caplog.text


def test_without_keys_whatever_is_sent_as_one_is_nobodys_name(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.get("/v1/models", headers={"Authorization": f"Bearer {KEY}"}).close()
    assert [line["who"] for line in lines(caplog)] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("address", "forwarded", "who"),
    [
        ("10.0.0.1", "10.9.9.9", "10.0.0.1"),
        ("127.0.0.1", "10.9.9.9, 10.0.0.2", "10.0.0.2"),
        ("", "10.9.9.9, 10.0.0.2", "10.0.0.2"),
        ("", None, "-"),
        ("", "x" * 999, "x" * 200),
    ],
)
def test_a_proxy_on_this_machine_is_believed(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, address: str, forwarded: str | None, who: str
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    client.get("/v1/models", headers=headers, environ_overrides={"REMOTE_ADDR": address}).close()
    assert [line["who"] for line in lines(caplog)] == [who]


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_probes_are_quiet_while_all_is_well(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    caplog.set_level(logging.INFO, "app.api.accounting")
    client.get(path).close()
    assert lines(caplog) == []
    assert counted(client, "requests_total", endpoint=path, status="200") == 1.0


def test_what_a_client_makes_up_is_cut(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    long = "x" * 5_000
    client.get(f"/{long}", headers={"User-Agent": long}).close()
    post(client, model=long)
    assert all(len(str(value)) <= 200 for line in lines(caplog) for value in line.values())


def test_the_model_of_a_bad_request_is_known(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    client.post("/v1/chat/completions", json={"model": "gpt-audio"}).close()
    assert [(line["status"], line["model"]) for line in lines(caplog)] == [(400, "gpt-audio")]


def test_work_that_is_being_dropped_is_waited_for(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(Settings(), runtime)

    @app.after_request
    def leave_unfinished(response: Any) -> Any:
        from app.api.application import incoming

        cost = incoming().cost
        cost.start_call()

        def finish(seconds: float) -> None:
            cost.finish_call(windows=1, queue_seconds=0.0, model_seconds=7.0)

        monkeypatch.setattr(cost, "wait_until_finished", finish)
        return response

    app.test_client().get("/v1/models").close()
    assert [line["model_ms"] for line in lines(caplog)] == [7_000]
