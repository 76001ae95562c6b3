"""The workers of one instance ask each other over Unix sockets, in a folder that is theirs alone.

A question and its answer are one line of JSON each. Nothing else can be said: no code, no files.
"""

import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from socket import AF_UNIX, SHUT_RDWR, socket
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

from app.background import run_in_background, tried_in_background
from app.errors import ClientGone
from app.waiting import Check, check_client, poll, wait_for

Message = dict[str, Any]

_log = logging.getLogger(__name__)

_MOST_BYTES = 1024 * 1024
_ASKING_SECONDS = 5.0
"""A worker that has connected asks within this time."""
_BACKLOG = 16
_SHORTAGE_SECONDS = 0.5
"""The pause before the next try, when descriptors, memory or threads are short."""


class WorkerPeers:
    """Asks all workers, this one included, and answers them: `answer(question, check)`.

    Before `join` there are no others. Any thread may ask; each question is answered in a thread of its own.
    """

    def __init__(self, answer: Callable[[Message, Check], Message]) -> None:
        self.number = 0
        self._answer = answer
        self._folder: Path | None = None
        self._listener: socket | None = None
        self._closed = Event()

    def join(self, folder: Path, number: int) -> None:
        """Let the other workers that use the folder ask this one. Only after the fork."""
        self.number = number
        forget_worker(folder, number)
        listener = socket(AF_UNIX)
        try:
            listener.bind(str(_address(folder, number)))
        except OSError as error:  # a path may be too long for a socket
            listener.close()
            _log.warning("Other workers can't ask this one for its models (%s)", error)
            return
        listener.listen(_BACKLOG)
        self._folder, self._listener = folder, listener
        Thread(target=self._listen, args=(listener,), name="worker-peers", daemon=True).start()

    def ask_all(self, question: Message, check: Check, patience_seconds: float) -> dict[int, Message | None]:
        """Every worker's answer by its number; None for one that doesn't answer in time.

        Raises what `check` raises, and what this worker's own answer does.
        """
        asked = {
            number: _in_background(partial(_ask, path, question, check, patience_seconds))
            for number, path in self._others()
        }
        answers: dict[int, Message | None] = {self.number: self._answer(question, check)}
        return answers | {number: wait_for(answer, check) for number, answer in asked.items()}

    def close(self) -> None:
        """Answer no more."""
        self._closed.set()
        if self._listener:
            self._listener.shutdown(SHUT_RDWR)  # ends the wait of `accept`, which `close` doesn't
            self._listener.close()

    def _others(self) -> Iterator[tuple[int, Path]]:
        if self._folder:
            for path in sorted(self._folder.glob("worker-*.sock")):
                if path != _address(self._folder, self.number):
                    yield int(path.stem.rpartition("-")[2]), path

    def _listen(self, listener: socket) -> None:
        """Runs in a thread of its own until `close`. A worker out of descriptors or threads goes on later."""
        while not self._closed.is_set():
            try:
                connected, _ = listener.accept()
            except OSError as error:
                if not self._closed.wait(_SHORTAGE_SECONDS):
                    _log.warning("Another worker can't be answered at present (%s)", error)
                continue
            connection = Connection(connected.detach())
            if not tried_in_background(partial(self._serve, connection), "peer"):
                connection.close()

    def _serve(self, connection: Connection) -> None:
        def check() -> None:
            check_client(partial(connection.poll, 0))  # whoever asked says nothing more: it is the end

        with connection:
            try:
                if connection.poll(_ASKING_SECONDS):
                    question = json.loads(connection.recv_bytes(_MOST_BYTES))
                    check()
                    connection.send_bytes(json.dumps(self._answer(question, check)).encode())
            except (OSError, EOFError, ClientGone):
                pass
            except Exception:
                _log.exception("Another worker's question failed")


def forget_worker(folder: Path, number: int) -> None:
    """Remove the socket of a worker that has ended."""
    _address(folder, number).unlink(missing_ok=True)


def _address(folder: Path, number: int) -> Path:
    return folder / f"worker-{number}.sock"


def _in_background(ask: Callable[[], Message | None]) -> Future[Message | None]:
    """The answer to come: None if there is no thread to wait for it."""
    try:
        return run_in_background(ask, "peer")
    except RuntimeError as error:
        _log.error("Another worker can't be asked: %s", error)
        unasked: Future[Message | None] = Future()
        unasked.set_result(None)
        return unasked


def _ask(path: Path, question: Message, check: Check, patience_seconds: float) -> Message | None:
    deadline = monotonic() + patience_seconds

    def answered(connection: Connection, seconds: float) -> bool:
        return connection.poll(seconds) or monotonic() > deadline

    try:
        with _connect(path, check, deadline) as connection:
            connection.send_bytes(json.dumps(question).encode())
            poll(partial(answered, connection), check)
            if connection.poll(0):
                answer: Message = json.loads(connection.recv_bytes(_MOST_BYTES))
                return answer
    except (OSError, EOFError):  # it has ended, or is about to, or has not answered in time
        pass
    return None


def _connect(path: Path, check: Check, deadline: float) -> Connection:
    """Raises OSError, also when there is no room in the worker's backlog until the deadline."""

    def connected(seconds: float) -> bool:
        try:
            connecting.connect(str(path))
        except BlockingIOError:
            if monotonic() > deadline:
                raise
            sleep(seconds)
            return False
        return True

    with socket(AF_UNIX) as connecting:
        connecting.setblocking(False)
        poll(connected, check)
        connecting.setblocking(True)
        return Connection(connecting.detach())
