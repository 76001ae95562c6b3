"""The workers of one instance ask each other over Unix sockets, in a folder that is theirs alone.

A question and its answer are one line of JSON each. Nothing else can be said: no code, no files.
"""

import json
import logging
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

from app.background import run_in_background
from app.errors import ClientGone
from app.waiting import Check, check_client, poll, wait_for

Message = dict[str, Any]

_log = logging.getLogger(__name__)

_MOST_BYTES = 1024 * 1024
_ASKING_SECONDS = 5.0
"""A worker that has connected asks within this time."""


class WorkerPeers:
    """Asks all workers, this one included, and answers them: `answer(question, check)`.

    Before `join` there are no others. Any thread may ask; each question is answered in a thread of its own.
    """

    def __init__(self, answer: Callable[[Message, Check], Message]) -> None:
        self.number = 0
        self._answer = answer
        self._folder: Path | None = None
        self._listener: Listener | None = None

    def join(self, folder: Path, number: int) -> None:
        """Let the other workers that use the folder ask this one. Only after the fork."""
        self.number = number
        address = _address(folder, number)
        forget_worker(folder, number)
        try:
            self._listener = Listener(str(address), "AF_UNIX", backlog=16)
        except OSError as error:  # a path may be too long for a socket
            _log.warning("Other workers can't ask this one for its models (%s)", error)
            return
        self._folder = folder
        Thread(target=self._listen, args=(self._listener,), name="worker-peers", daemon=True).start()

    def ask_all(self, question: Message, check: Check, patience_seconds: float) -> dict[int, Message | None]:
        """Every worker's answer by its number; None for one that doesn't answer in time.

        Raises what `check` raises, and what this worker's own answer does.
        """
        asked = {
            number: run_in_background(partial(_ask, path, question, check, patience_seconds), "peer")
            for number, path in self._others()
        }
        answers: dict[int, Message | None] = {self.number: self._answer(question, check)}
        return answers | {number: wait_for(answer, check) for number, answer in asked.items()}

    def close(self) -> None:
        """Answer no more."""
        if self._listener:
            self._listener.close()

    def _others(self) -> Iterator[tuple[int, Path]]:
        if self._folder:
            for path in sorted(self._folder.glob("worker-*.sock")):
                if path != _address(self._folder, self.number):
                    yield int(path.stem.rpartition("-")[2]), path

    def _listen(self, listener: Listener) -> None:
        while True:
            try:
                connection = listener.accept()
            except OSError:  # it was closed
                return
            run_in_background(partial(self._serve, connection), "peer")

    def _serve(self, connection: Connection) -> None:
        def check() -> None:
            check_client(partial(connection.poll, 0))  # whoever asked says nothing more: it is the end

        with connection:
            try:
                if connection.poll(_ASKING_SECONDS):
                    question = json.loads(connection.recv_bytes(_MOST_BYTES))
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


def _ask(path: Path, question: Message, check: Check, patience_seconds: float) -> Message | None:
    deadline = monotonic() + patience_seconds

    def answered(connection: Connection, seconds: float) -> bool:
        return connection.poll(seconds) or monotonic() > deadline

    try:
        with Client(str(path), "AF_UNIX") as connection:
            connection.send_bytes(json.dumps(question).encode())
            poll(partial(answered, connection), check)
            if connection.poll(0):
                answer: Message = json.loads(connection.recv_bytes(_MOST_BYTES))
                return answer
    except (OSError, EOFError):  # it has ended, or is about to
        pass
    return None
