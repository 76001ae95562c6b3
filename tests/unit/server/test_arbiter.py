"""An arbiter with Gunicorn's own logic, whose workers are no processes."""

import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from hypothesis import given, settings
from hypothesis import strategies as st

from app.checkpoints import Checkpoint
from app.server import hooks
from app.server.arbiter import SpeechArbiter
from tests.unit.server.scripted import FakeLog

CHECKPOINT = Checkpoint("tiny", Path("/models/tiny.pt"), "ab")


class Log(FakeLog):
    """Made as Gunicorn makes its own."""

    def __init__(self, _cfg: object) -> None:
        super().__init__()


class Application(BaseApplication):  # type: ignore[misc]
    """What Gunicorn reads its settings from."""

    def load_config(self) -> None:
        self.cfg.set("logger_class", Log)
        self.cfg.set("on_reload", hooks.on_reload)
        self.cfg.set("pre_fork", hooks.pre_fork)
        self.cfg.set("graceful_timeout", 1)
        self.cfg.set("proc_name", "")

    def load(self) -> None:
        raise AssertionError("no worker is a process here")


class Port:
    """What a running arbiter listens on."""

    def close(self) -> None:
        """It stops."""

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 1)


class WatchedArbiter(SpeechArbiter):
    """Its workers end when they are told to, unless they are `busy` with a request."""

    busy: set[int]
    told: list[tuple[int, int]]

    def spawn_worker(self) -> int:
        self.worker_age += 1
        worker = SimpleNamespace(age=self.worker_age, tmp=SimpleNamespace(close=lambda: None), ending=False)
        hooks.pre_fork(self, worker)
        self.WORKERS[self.worker_age] = worker
        return int(self.worker_age)

    def kill_worker(self, pid: int, sig: int) -> None:
        self.told.append((pid, sig))
        first, self.WORKERS[pid].ending = not self.WORKERS[pid].ending, True
        if first and self.LISTENERS:  # the arbiter itself goes on
            assert self.serving >= self.num_workers, "it was still needed"

    def reap_workers(self) -> None:
        for pid in [pid for pid, worker in self.WORKERS.items() if worker.ending and pid not in self.busy]:
            self.end(pid)

    def reap_dirty_arbiter(self) -> None:
        """There is none."""

    def end(self, pid: int) -> None:
        """The worker is dead, and Gunicorn has asked for its status."""
        self.WORKERS.pop(pid).serving.close()

    def serve(self, *pids: int) -> None:
        """These have loaded their model."""
        for pid in pids:
            self.WORKERS[pid].serving[0] = True

    def turn(self) -> None:
        """What Gunicorn does about once a second."""
        self.reap_workers()
        self.manage_workers()

    @property
    def serving(self) -> int:
        """How many answer requests, and will."""
        return sum(worker.serving[0] for worker in self.WORKERS.values() if not worker.ending)

    @property
    def alive(self) -> list[int]:
        """Those that were not told to end."""
        return sorted(pid for pid, worker in self.WORKERS.items() if not worker.ending)


def arbiter_of(devices: int) -> WatchedArbiter:
    """Its first workers serve."""
    server = Arbiter(Application())
    WatchedArbiter.take_over(server)
    assert isinstance(server, WatchedArbiter)
    server.busy, server.told = set(), []
    server.WORKERS, server.LISTENERS, server.pid = {}, [Port()], 1
    server.devices, server.checkpoint = ("cpu",) * devices, CHECKPOINT
    server.known = {}
    server.num_workers = devices
    server.manage_workers()
    server.serve(*server.WORKERS)
    return server


@pytest.fixture
def server() -> WatchedArbiter:
    """Workers 1 and 2 serve."""
    server = arbiter_of(2)
    server.turn()
    assert (server.alive, server.told) == ([1, 2], [])
    return server


def test_old_workers_stay_until_all_new_ones_serve(server: WatchedArbiter) -> None:
    server.handle_hup()
    assert server.alive == [1, 2, 3, 4]
    server.turn()
    server.serve(3)
    server.turn()
    assert (server.alive, server.told) == ([1, 2, 3, 4], [])
    server.serve(4)
    server.turn()
    assert server.told == [(1, signal.SIGTERM), (2, signal.SIGTERM)]
    server.turn()
    assert sorted(server.WORKERS) == [3, 4]


def test_nothing_is_waited_for_in_a_reload(server: WatchedArbiter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gunicorn's own looks after nothing else until the old workers have ended."""
    monkeypatch.setattr("gunicorn.arbiter.time.sleep", lambda seconds: pytest.fail("it waits"))
    server.busy = {1, 2}
    server.handle_hup()
    server.serve(3, 4)
    server.turn()
    assert sorted(server.WORKERS) == [1, 2, 3, 4]


def test_a_reload_reads_the_settings_anew(server: WatchedArbiter, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bool] = []
    monkeypatch.setattr(Application, "load_config", lambda self: read.append(True))
    server.handle_hup()
    assert read == [True]


def test_a_new_worker_that_dies_is_replaced_while_the_old_ones_serve(server: WatchedArbiter) -> None:
    server.handle_hup()
    server.serve(3)
    for died, replacement in ((4, 5), (5, 6)):
        server.end(died)
        server.turn()
        assert server.alive == [1, 2, 3, replacement]
        assert server.WORKERS[replacement].generation == 1
    server.turn()
    assert server.alive == [1, 2, 3, 6]
    server.serve(6)
    server.turn()
    assert server.alive == [3, 6]


def test_an_old_worker_that_dies_in_a_reload_is_not_replaced(server: WatchedArbiter) -> None:
    server.handle_hup()
    server.end(1)
    server.turn()
    assert server.alive == [2, 3, 4]


def test_a_new_worker_that_dies_while_old_ones_end_is_replaced(server: WatchedArbiter) -> None:
    """They may have an hour to do so, and count among Gunicorn's workers as long."""
    server.busy = {1, 2}
    server.handle_hup()
    server.serve(3, 4)
    server.turn()
    server.end(4)
    server.turn()
    assert server.alive == [3, 5]


def test_a_worker_that_dies_is_replaced_without_any_reload(server: WatchedArbiter) -> None:
    server.end(1)
    server.turn()
    assert server.alive == [2, 3]
    assert server.WORKERS[3].generation == 0


def test_many_hang_ups_are_one_more_reload(server: WatchedArbiter) -> None:
    for _ in range(10):
        server.handle_hup()
        server.turn()
    assert server.alive == [1, 2, 3, 4]
    server.serve(3, 4)
    server.turn()  # the old ones are told to go, and the second reload begins
    assert server.alive == [3, 4, 5, 6]
    server.serve(5, 6)
    server.turn()
    server.turn()
    assert sorted(server.WORKERS) == [5, 6]
    assert server.generation == 2


def test_a_hang_up_while_old_workers_end_is_a_reload(server: WatchedArbiter) -> None:
    server.busy = {1, 2}
    server.handle_hup()
    server.serve(3, 4)
    server.turn()
    server.handle_hup()
    assert server.alive == [3, 4, 5, 6]
    server.serve(5, 6)
    server.turn()
    assert server.alive == [5, 6]


def test_more_and_fewer_workers(server: WatchedArbiter) -> None:
    server.handle_ttin()
    assert server.alive == [1, 2, 3]
    server.serve(3)
    server.handle_ttou()
    assert server.alive == [2, 3]
    server.handle_ttou()
    server.handle_ttou()
    assert server.alive == [3], "one stays"


def test_more_workers_in_a_reload(server: WatchedArbiter) -> None:
    server.handle_hup()
    server.handle_ttin()
    assert server.alive == [1, 2, 3, 4, 5]
    server.serve(3, 4)
    server.turn()
    assert server.alive == [1, 2, 3, 4, 5]
    server.serve(5)
    server.turn()
    assert server.alive == [3, 4, 5]


def test_fewer_workers_in_a_reload(server: WatchedArbiter) -> None:
    server.handle_hup()
    server.handle_ttou()
    assert server.alive == [1, 2, 3, 4]
    server.serve(4)
    server.turn()
    assert server.alive == [4]


def test_the_youngest_stay_and_so_must_serve(server: WatchedArbiter) -> None:
    server.handle_hup()
    server.handle_ttou()
    server.serve(3)
    server.turn()
    assert server.alive == [1, 2, 3, 4], "Gunicorn would keep 4 alone, which is still loading"
    server.serve(4)
    server.turn()
    assert server.alive == [4]


def test_a_worker_too_many_stays_until_the_one_that_replaces_it_serves(server: WatchedArbiter) -> None:
    server.handle_ttin()
    server.handle_ttou()
    server.turn()
    assert server.alive == [1, 2, 3]
    server.serve(3)
    server.turn()
    assert server.alive == [2, 3]


def test_a_reload_has_as_many_workers_as_devices(server: WatchedArbiter) -> None:
    server.handle_ttin()
    server.serve(3)
    server.handle_hup()
    server.serve(4, 5)
    server.turn()
    assert server.alive == [4, 5]


@pytest.mark.parametrize(("graceful", "told"), [(True, signal.SIGTERM), (False, signal.SIGQUIT)])
def test_a_stop_in_a_reload_ends_all(server: WatchedArbiter, graceful: bool, told: int) -> None:
    server.handle_hup()
    server.handle_hup()
    server.stop(graceful)
    assert server.WORKERS == {}
    assert server.told == [(pid, told) for pid in (1, 2, 3, 4)]


def test_a_new_worker_leaves_the_arbiters_code(
    server: WatchedArbiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is forked in the midst of `reload`, and ends in SystemExit."""

    def fork(self: object) -> int:
        raise SystemExit(0)

    monkeypatch.setattr(WatchedArbiter, "spawn_worker", fork)
    with pytest.raises(SystemExit):
        server.handle_hup()


EVENTS: list[Callable[[WatchedArbiter, int], object]] = [
    lambda server, _: server.handle_hup(),
    lambda server, _: server.num_workers < 4 and server.handle_ttin(),
    lambda server, _: server.handle_ttou(),
    lambda server, number: server.serve(pick(server, number)),
    lambda server, number: server.end(pick(server, number)),
    lambda server, number: server.busy.symmetric_difference_update({pick(server, number)}),
]


def pick(server: WatchedArbiter, number: int) -> int:
    pids = sorted(server.WORKERS)
    return pids[number % len(pids)]


@settings(max_examples=100, deadline=None)
@given(events=st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 9)), max_size=25))
def test_whatever_happens_workers_are_ended_only_when_enough_others_serve(events: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gunicorn.arbiter.time.sleep", lambda seconds: None)
        server = arbiter_of(2)
        for event, number in events:
            event(server, number)
            server.turn()  # kill_worker sees to it that nobody is ended too early
            assert len(server.WORKERS) >= server.num_workers
        server.busy.clear()
        for _ in range(4):  # left alone it comes to rest
            server.serve(*server.WORKERS)
            server.turn()
        assert len(server.WORKERS) == server.num_workers
        assert {worker.generation for worker in server.WORKERS.values()} == {server.generation}
        assert not server.reload_again
