"""Workers that ask each other, here all in one process."""

import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Client, Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pytest

from app import background
from app.errors import ClientGone
from app.waiting import Check
from app.worker_peers import Message, WorkerPeers, forget_worker
from tests.processes import limited
from tests.threads import no_thread, wait_until

PATIENCE_SECONDS = 60.0


def stay() -> None:
    """A client that has not gone."""


def impatient(seconds: float = PATIENCE_SECONDS) -> Check:
    """A client that fails the test if it waits for longer."""
    deadline = monotonic() + seconds

    def check() -> None:
        assert monotonic() < deadline, "it waits for ever"

    return check


@pytest.fixture
def folder() -> Iterator[Path]:
    """Its path is short, as a socket's must be."""
    with TemporaryDirectory(dir="/tmp") as made:
        yield Path(made)


@pytest.fixture
def worker(folder: Path) -> Iterator[Callable[..., WorkerPeers]]:
    with ExitStack() as made:

        def make(number: int, answer: Callable[[Message, Check], Message]) -> WorkerPeers:
            peers = WorkerPeers(answer)
            peers.join(folder, number)
            made.callback(peers.close)
            return peers

        yield make


def told(number: int) -> Callable[[Message, Check], Message]:
    return lambda question, check: {"worker": number, **question}


def test_one_alone_answers_itself() -> None:
    assert WorkerPeers(told(0)).ask_all({"a": 1}, stay, 1) == {0: {"worker": 0, "a": 1}}


def test_all_answer(worker: Callable[..., WorkerPeers]) -> None:
    one, *_ = [worker(number, told(number)) for number in (0, 1, 12)]
    expected = {number: {"worker": number, "a": "ü"} for number in (0, 1, 12)}
    for _ in range(3):
        assert one.ask_all({"a": "ü"}, stay, PATIENCE_SECONDS) == expected


def test_one_that_has_ended_is_none_until_it_is_forgotten(
    worker: Callable[..., WorkerPeers], folder: Path
) -> None:
    one = worker(0, told(0))
    (folder / "worker-1.sock").touch()  # as a killed worker leaves it
    assert one.ask_all({}, stay, PATIENCE_SECONDS) == {0: {"worker": 0}, 1: None}
    forget_worker(folder, 1)
    assert one.ask_all({}, stay, PATIENCE_SECONDS) == {0: {"worker": 0}}
    (folder / "worker-1.sock").touch()
    worker(1, told(1))  # takes the dead one's place
    assert one.ask_all({}, stay, PATIENCE_SECONDS)[1] == {"worker": 1}


def test_one_that_does_not_answer_in_time_is_none(worker: Callable[..., WorkerPeers]) -> None:
    release = threading.Event()
    one = worker(0, told(0))
    worker(1, lambda question, check: {"late": release.wait(PATIENCE_SECONDS)})
    assert one.ask_all({}, stay, 0.1)[1] is None
    release.set()


def test_who_waits_no_longer_is_noticed_by_the_one_that_was_asked(
    worker: Callable[..., WorkerPeers],
) -> None:
    begun, noticed = threading.Event(), threading.Event()

    def work(question: Message, check: Check) -> Message:
        begun.set()
        pause = threading.Event()
        try:
            while True:
                check()
                pause.wait(0.01)
        except ClientGone:
            noticed.set()
            raise

    def leave() -> None:
        if begun.is_set():
            raise ClientGone("gone")

    one = worker(0, told(0))
    worker(1, work)
    with pytest.raises(ClientGone):
        one.ask_all({}, leave, PATIENCE_SECONDS)
    assert noticed.wait(PATIENCE_SECONDS)


def test_a_failure_is_logged_and_does_not_end_it(
    worker: Callable[..., WorkerPeers], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(question: Message, check: Check) -> Message:
        raise ZeroDivisionError

    one = worker(0, told(0))
    worker(1, fail)
    assert one.ask_all({}, stay, PATIENCE_SECONDS)[1] is None
    assert "ZeroDivisionError" in caplog.text
    with Client(str(folder / "worker-1.sock"), "AF_UNIX") as connection:
        connection.send_bytes(b"no JSON")
        with pytest.raises(EOFError):
            connection.recv_bytes()
    assert one.ask_all({}, stay, PATIENCE_SECONDS)[1] is None


def test_without_room_for_its_path_a_worker_is_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    peers = WorkerPeers(told(0))
    peers.join(folder, 0)
    assert "can't ask this one" in caplog.text
    assert peers.ask_all({}, stay, 1) == {0: {"worker": 0}}


def test_without_descriptors_it_hears_again_when_there_are_some(
    worker: Callable[..., WorkerPeers], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = worker(0, told(0))
    worker(1, told(1))
    with socket.socket(socket.AF_UNIX) as asking, limited(os.getpid(), resource.RLIMIT_NOFILE, 3):
        asking.connect(str(folder / "worker-1.sock"))
        wait_until(lambda: "Too many open files" in caplog.text)
    assert one.ask_all({}, impatient(), PATIENCE_SECONDS)[1] == {"worker": 1}


def test_without_threads_it_hears_again_when_there_are_some(
    worker: Callable[..., WorkerPeers],
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = worker(0, told(0))
    worker(1, told(1))
    with monkeypatch.context() as short:
        short.setattr(background.Thread, "start", no_thread)
        with Client(str(folder / "worker-1.sock"), "AF_UNIX") as asking, pytest.raises(EOFError):
            asking.recv_bytes()  # it is told at once, and not left to wait
        assert "can't start new thread" in caplog.text
        assert one.ask_all({}, impatient(), PATIENCE_SECONDS) == {0: {"worker": 0}, 1: None}
    assert one.ask_all({}, impatient(), PATIENCE_SECONDS)[1] == {"worker": 1}


@pytest.fixture
def full(folder: Path) -> Iterator[None]:
    """A worker that takes no connections, and has as many waiting as there is room for."""
    with ExitStack() as held:
        listening = held.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(folder / "worker-1.sock"))
        listening.listen(0)
        with pytest.raises(BlockingIOError):
            while True:
                waiting = held.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(folder / "worker-1.sock"))
        yield


def threads_named(name: str) -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == name}


@pytest.mark.usefixtures("full")
def test_one_that_takes_no_connections_is_none_and_keeps_no_thread(
    worker: Callable[..., WorkerPeers],
) -> None:
    assert worker(0, told(0)).ask_all({}, impatient(), 0.1)[1] is None
    wait_until(lambda: not threads_named("peer"))


@pytest.mark.usefixtures("full")
def test_who_waits_no_longer_keeps_no_thread_that_connects(worker: Callable[..., WorkerPeers]) -> None:
    def leave() -> None:
        raise ClientGone("gone")

    with pytest.raises(ClientGone):
        worker(0, told(0)).ask_all({}, leave, PATIENCE_SECONDS)
    wait_until(lambda: not threads_named("peer"))


def test_a_question_of_one_that_has_gone_is_not_acted_on() -> None:
    asked = list[Message]()

    def keep(question: Message, check: Check) -> Message:
        asked.append(question)
        return {}

    peers = WorkerPeers(keep)
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with Connection(ours.detach()) as connection:
        connection.send_bytes(b"{}")
    peers._serve(Connection(theirs.detach()))
    assert asked == []


def test_once_closed_it_listens_no_more(folder: Path) -> None:
    peers, before = WorkerPeers(told(0)), threads_named("worker-peers")
    peers.join(folder, 0)
    listening = threads_named("worker-peers") - before
    assert len(listening) == 1
    peers.close()
    wait_until(lambda: not listening & threads_named("worker-peers"))
