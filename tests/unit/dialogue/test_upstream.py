from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from app.background import run_in_background
from app.dialogue.request import chat_request
from app.dialogue.upstream import Upstream, _lines, upstream_body
from app.errors import ClientGone, RequestTimeout, UpstreamFailure
from app.request_context import RequestContext
from tests.functional.gunicorn_server import free_port
from tests.unit.dialogue.conftest import audio, fields, linked, text, user
from tests.upstream_server import UpstreamServer, chunk, completion, upstream_server

BODY = {"model": "gpt-audio", "messages": [{"role": "user", "content": "Hi."}]}


@pytest.fixture
def server() -> Iterator[UpstreamServer]:
    with upstream_server() as running:
        yield running


@pytest.fixture
def upstream(server: UpstreamServer) -> Upstream:
    return Upstream(server.url, key="secret")


def context() -> RequestContext:
    return RequestContext.of(60)


def test_recordings_become_text_and_all_else_stays() -> None:
    picture = linked("image_url", "https://host/cat.png")
    sent = fields(
        {"role": "system", "content": "Be brief."},
        user(text("Q"), audio("a"), picture),
        {"role": "assistant", "content": None, "audio": {"id": "audio_1"}},
        user(audio("b")),
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "wav"},
        temperature=0.5,
        unheard_of=[1],
    )
    body = upstream_body(sent, chat_request(sent).recordings, ["A.", ""])
    assert body == {
        "model": "gpt-audio",
        "messages": [
            {"role": "system", "content": "Be brief."},
            user(text("Q"), text("A."), picture),
            {"role": "assistant", "content": ""},
            user(text("")),
        ],
        "temperature": 0.5,
        "unheard_of": [1],
    }
    assert "modalities" in sent


@pytest.mark.parametrize("slash", ["", "/", "//"])
def test_asks_with_its_own_key(server: UpstreamServer, slash: str) -> None:
    server.answers(completion())
    answer = Upstream(server.url + slash, key="secret").ask(BODY, context())
    assert answer == completion()
    assert server.paths == ["/v1/chat/completions"]
    assert server.received == [BODY]
    assert server.received_headers[0]["Authorization"] == "Bearer secret"


def test_a_model_of_its_own(server: UpstreamServer) -> None:
    server.answers(completion())
    Upstream(server.url, model="llama").ask(BODY, context())
    assert server.received == [BODY | {"model": "llama"}]


def test_no_key_is_no_header(server: UpstreamServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.answers(completion())
    Upstream(server.url).ask(BODY, context())
    assert "Authorization" not in server.received_headers[0]


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(Upstream("http://host", key="secret"))


def test_streams_what_other_servers_frame_differently(server: UpstreamServer, upstream: Upstream) -> None:
    events = [chunk({"content": "It is"}), chunk({"content": " \u2028 late"}), chunk(None, usage={})]
    server.streams(*events, "[DONE]", "never read")
    assert list(upstream.stream(BODY, context())) == events


def test_a_stream_without_an_end_mark(server: UpstreamServer, upstream: Upstream) -> None:
    server.streams(chunk({"content": "It is"}))
    assert list(upstream.stream(BODY, context())) == [chunk({"content": "It is"})]


def test_events_come_one_by_one(server: UpstreamServer, upstream: Upstream) -> None:
    server.streams(chunk({"content": "It is"}))
    server.hang_after_body = True
    events = upstream.stream(BODY, context())
    assert next(events) == chunk({"content": "It is"})
    events.close()


ERROR = {"message": "No such model.", "type": "invalid_request_error", "param": "model", "code": "nope"}


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, {"error": ERROR}, ("No such model.", "invalid_request_error", "model", "nope")),
        (429, {"error": {"message": "Slow.", "code": 429}}, ("Slow.", "server_error", None, "429")),
        (400, {"error": "plain"}, ("plain", "server_error", None, None)),
        (500, {"detail": "x"}, ('The upstream server answered: {"detail": "x"}', "server_error", None, None)),
        (
            503,
            b"<html>down</html>",
            ("The upstream server answered: <html>down</html>", "server_error", None, None),
        ),
        (401, b"[]", ("The upstream server answered: []", "server_error", None, None)),
    ],
)
def test_its_errors_come_through(
    server: UpstreamServer, upstream: Upstream, status: int, body: Any, told: tuple[Any, ...]
) -> None:
    server.answers(body, status)
    for call in (lambda: upstream.ask(BODY, context()), lambda: list(upstream.stream(BODY, context()))):
        with pytest.raises(UpstreamFailure) as caught:
            call()
        error = caught.value
        assert error.status == status
        assert (error.message, error.type, error.param, error.code) == told


@pytest.mark.parametrize(
    ("sent", "told"), [("7", 7), ("0", 1), ("900", 120), ("soon", None), ("9" * 5_000, 120)]
)
def test_when_to_come_back(server: UpstreamServer, upstream: Upstream, sent: str, told: int | None) -> None:
    server.answers({"error": ERROR}, 429, **{"Retry-After": sent})
    with pytest.raises(UpstreamFailure) as caught:
        upstream.ask(BODY, context())
    assert caught.value.retry_after_seconds == told


@pytest.mark.parametrize("status", [204, 304, 600, 999])
@pytest.mark.parametrize("stream", [False, True])
def test_a_status_that_is_neither_answer_nor_error(
    server: UpstreamServer, upstream: Upstream, status: int, stream: bool
) -> None:
    server.answers({"error": ERROR}, status)
    with pytest.raises(UpstreamFailure, match=f"answered with status {status}") as caught:
        list(upstream.stream(BODY, context())) if stream else upstream.ask(BODY, context())
    assert caught.value.status == 502


def test_a_long_error_keeps_its_status(server: UpstreamServer, upstream: Upstream) -> None:
    server.answers({"error": ERROR | {"message": "x" * 100_000}}, 418)
    with pytest.raises(UpstreamFailure, match="The upstream server answered: ") as caught:
        upstream.ask(BODY, context())
    assert (caught.value.status, len(caught.value.message) < 300) == (418, True)


def test_an_error_nested_without_end(server: UpstreamServer, upstream: Upstream) -> None:
    server.answers(b'{"error": ' + b"[" * 60_000, 500)
    with pytest.raises(UpstreamFailure, match="The upstream server answered: ") as caught:
        upstream.ask(BODY, context())
    assert caught.value.status == 500


def test_a_long_line_is_read(server: UpstreamServer, upstream: Upstream) -> None:
    event = chunk({"content": "x" * 200_000})
    server.streams(event, "[DONE]")
    assert list(upstream.stream(BODY, context())) == [event]


def test_lines_that_come_byte_by_byte() -> None:
    taken = list(_lines(iter([b"a"] * 200_000 + [b"\r\n", b"b", b"\rc", b"\n"])))
    assert [len(line) for line in taken] == [200_000, 0, 1, 1]


def test_what_came_together_is_waited_for_together(
    server: UpstreamServer, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting takes a thread each time."""
    waits: list[object] = []

    def counted(work: Callable[[], Any], thread_name: str) -> "Future[Any]":
        waits.append(work)
        return run_in_background(work, thread_name)

    monkeypatch.setattr("app.dialogue.upstream.run_in_background", counted)
    server.streams(*[chunk({"content": "a"})] * 100, "[DONE]")
    server.body = [b"\n" * 60_000 + b"".join(server.body)]
    assert len(list(upstream.stream(BODY, context()))) == 100
    assert len(waits) < 50


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 9_994, b"x" * 10_000])
def test_a_line_without_an_end(server: UpstreamServer, upstream: Upstream, piece: bytes) -> None:
    server.pours(piece)
    with pytest.raises(UpstreamFailure, match="a line of more than 1048576 bytes") as caught:
        list(upstream.stream(BODY, context()))
    assert caught.value.status == 502


@pytest.mark.parametrize("piece", [b": ping\n\n" * 9_000, b"data: {}\n\n" + b"\n" * 60_000])
def test_a_stream_without_an_end(
    server: UpstreamServer, upstream: Upstream, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.dialogue.upstream._LARGEST_ANSWER", 1_000_000)
    server.pours(piece)
    with pytest.raises(UpstreamFailure, match="longer than 1000000 bytes"):
        list(upstream.stream(BODY, context()))


def test_an_answer_without_an_end(
    server: UpstreamServer, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.dialogue.upstream._LARGEST_ANSWER", 1_000_000)
    server.pours(b" " * 60_000)
    with pytest.raises(UpstreamFailure, match="longer than 1000000 bytes"):
        upstream.ask(BODY, context())


def test_a_redirect_is_not_followed(server: UpstreamServer, upstream: Upstream) -> None:
    server.answers(b"", 302, Location=server.url)
    with pytest.raises(UpstreamFailure, match="status 302") as caught:
        upstream.ask(BODY, context())
    assert caught.value.status == 502
    assert len(server.paths) == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        (b"[]", "no choices"),
        (b'"choices"', "no choices"),
        (b'{"choices": null}', "no choices"),
        (b'{"choices": [1]}', "no choices"),
        (b'{"choices": [{"index": []}]}', "no choices"),
        (b"[" * 200_000, "not JSON"),
        (b'{"choices": [], "x": 1e999}', "not JSON"),
        (b'{"choices": [' + b"{}," * 400_000 + b"{}]}", "more than 1000000 brackets"),
    ],
)
def test_answers_that_are_none(server: UpstreamServer, upstream: Upstream, body: bytes, why: str) -> None:
    server.answers(body)
    with pytest.raises(UpstreamFailure, match=why) as caught:
        upstream.ask(BODY, context())
    assert (caught.value.status, caught.value.type) == (502, "server_error")


@pytest.mark.parametrize(
    "event", ["<html>", "[1]", "1", "[" * 200_000, '{"choices": 5}', '{"choices": [[]]}']
)
def test_events_that_are_none(server: UpstreamServer, upstream: Upstream, event: str) -> None:
    server.streams(event)
    with pytest.raises(UpstreamFailure, match="stream"):
        list(upstream.stream(BODY, context()))


def test_an_answer_that_does_not_stream(server: UpstreamServer, upstream: Upstream) -> None:
    server.answers(completion())
    with pytest.raises(UpstreamFailure, match="answered with application/json"):
        list(upstream.stream(BODY, context()))


def test_an_answer_that_breaks_off(server: UpstreamServer, upstream: Upstream) -> None:
    server.answers(completion(), **{"Content-Length": "9999"})
    with pytest.raises(UpstreamFailure, match="broke off"):
        upstream.ask(BODY, context())


def test_nobody_there() -> None:
    with pytest.raises(UpstreamFailure, match="can't be reached") as caught:
        Upstream(f"http://127.0.0.1:{free_port()}").ask(BODY, context())
    assert caught.value.status == 502
    assert "127.0.0.1" not in caught.value.message


@pytest.mark.parametrize("stage", ["hang_before_head", "hang_after_body"])
def test_the_deadline_ends_the_wait(server: UpstreamServer, upstream: Upstream, stage: str) -> None:
    server.streams(chunk({"content": "It is"}))
    setattr(server, stage, True)
    with pytest.raises(RequestTimeout, match=r"0\.5 seconds"):
        list(upstream.stream(BODY, RequestContext.of(0.5)))


@pytest.mark.parametrize("stage", ["hang_before_head", "hang_after_body"])
def test_a_client_that_leaves_ends_the_wait(server: UpstreamServer, upstream: Upstream, stage: str) -> None:
    server.streams(chunk({"content": "It is"}))
    setattr(server, stage, True)
    with pytest.raises(ClientGone):
        list(upstream.stream(BODY, RequestContext.of(60, server.asked.is_set)))
