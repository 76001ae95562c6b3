"""A small OpenAI-compatible server on loopback, which answers as it is told and keeps what it was asked."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from threading import Event, Thread
from typing import Any

USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
HEAD = {"id": "chatcmpl-up", "created": 1, "model": "llama"}


def completion(text: str = "It is about the sun.", **changes: Any) -> dict[str, Any]:
    """A `chat.completion` with this text."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return HEAD | {"object": "chat.completion", "choices": [choice], "usage": USAGE} | changes


def chunk(delta: dict[str, Any] | None, **changes: Any) -> dict[str, Any]:
    """A `chat.completion.chunk` with this delta, or with no choice at all."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": None}]
    return HEAD | {"object": "chat.completion.chunk", "choices": choices} | changes


def response(text: str = "It is about the sun.", **changes: Any) -> dict[str, Any]:
    """A `response` of the Responses API with this text."""
    content = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {
        "id": "msg_up",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [content],
    }
    usage = {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 25,
    }
    known = {
        "id": "resp_up",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "llama",
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
    }
    return known | changes


def response_events(*deltas: str) -> list[dict[str, Any]]:
    """The events of a response whose text comes in pieces."""
    whole = response("".join(deltas))
    [message] = whole["output"]
    [content] = message["content"]
    begun = response("", status="in_progress", output=[], usage=None)
    place = {"item_id": "msg_up", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": message | {"content": [], "status": "in_progress"},
        },
        {"type": "response.content_part.added", **place, "part": content | {"text": ""}},
        *(
            {"type": "response.output_text.delta", **place, "delta": delta, "logprobs": []}
            for delta in deltas
        ),
        {"type": "response.output_text.done", **place, "text": content["text"], "logprobs": []},
        {"type": "response.content_part.done", **place, "part": content},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": whole},
    ]
    return [event | {"sequence_number": number} for number, event in enumerate(events)]


def frames(*events: dict[str, Any] | str) -> list[bytes]:
    """Events as some servers frame them: CRLF, with names and comments."""
    bodies = (event if isinstance(event, str) else json.dumps(event) for event in events)
    return [f": note\r\nevent: message\r\ndata: {body}\r\n\r\n".encode() for body in bodies]


class UpstreamServer(ThreadingHTTPServer):
    """Answers every POST with `status`, `headers` and the pieces of `body`.

    With `hang` set it waits, after what of the body is there, until it is closed.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: Iterable[bytes] = []
        self.bytes_sent = 0
        self.hang_before_head = self.hang_after_body = False
        self.asked = Event()
        self.closing = Event()
        self.paths: list[str] = []
        self.received_headers: list[dict[str, str]] = []
        self.received: list[dict[str, Any]] = []

    def answers(self, body: Any, status: int = 200, **headers: str) -> None:
        """Answer with JSON, or with these bytes."""
        self.status = status
        self.headers = {"Content-Type": "application/json", **headers}
        self.body = [body if isinstance(body, bytes) else json.dumps(body).encode()]

    def pours(self, piece: bytes) -> None:
        """Answer with a stream of the same bytes, without an end."""
        self.status = 200
        self.headers = {"Content-Type": "text/event-stream"}
        self.body = repeat(piece)

    def streams(self, *events: dict[str, Any] | str) -> None:
        """Answer with server-sent events."""
        self.headers = {"Content-Type": "text/event-stream"}
        self.body = frames(*events)


class _Handler(BaseHTTPRequestHandler):
    server: UpstreamServer

    def do_POST(self) -> None:
        server = self.server
        server.paths.append(self.path)
        server.received_headers.append(dict(self.headers))
        server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        server.asked.set()
        if server.hang_before_head:
            server.closing.wait(60)
            return
        self.send_response(server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):  # whoever has enough hangs up
            for piece in server.body:
                self.wfile.write(piece)
                server.bytes_sent += len(piece)
        if server.hang_after_body:
            server.closing.wait(60)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def upstream_server() -> Iterator[UpstreamServer]:
    """A running one."""
    with UpstreamServer() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
