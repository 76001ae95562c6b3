"""What all engines do when they start, around an engine without a model."""

import threading
from collections.abc import Iterator

import pytest
import torch

from app import memory
from app.engines.engine_thread import CallQueue, EngineThread
from app.engines.startup import start_engine
from app.errors import CheckpointError
from tests.scripted_engine import ScriptedEngine, result, spell


def test_the_model_is_loaded_in_the_engines_thread_and_every_path_runs_once() -> None:
    threads: list[CallQueue] = []

    def build(loader: int, thread: CallQueue) -> ScriptedEngine:
        threads.append(thread)
        assert thread.submit(threading.get_ident).result() == loader
        return ScriptedEngine(lambda window, options: result(*spell(" Hi.")))

    engine = start_engine(threading.get_ident, build, threads=1)
    [thread] = threads
    try:
        assert [(seek, frames) for seek, frames, _ in engine.decoded] == [(0, 100)] * 2
        assert thread.submit(torch.get_num_threads).result() == 1
    finally:
        thread.close()


def test_what_the_warm_up_alone_has_touched_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[CallQueue] = []
    decoded_before: list[int] = []
    engine = ScriptedEngine(lambda window, options: result(*spell(" Hi.")))
    monkeypatch.setattr(memory, "drop_file_pages", lambda: decoded_before.append(len(engine.decoded)))

    def build(model: None, thread: CallQueue) -> ScriptedEngine:
        threads.append(thread)
        return engine

    start_engine(lambda: None, build, threads=1)
    threads[0].close()
    assert decoded_before == [len(engine.decoded)] == [2]


def test_no_thread_stays_where_there_is_no_checkpoint() -> None:
    loaders: list[threading.Thread] = []

    def load() -> None:
        loaders.append(threading.current_thread())
        raise CheckpointError("no such file")

    with pytest.raises(CheckpointError, match="no such file"):
        start_engine(load, lambda model, thread: pytest.fail("nothing was loaded"), threads=1)
    assert not loaders[0].is_alive()


@pytest.fixture
def shared() -> Iterator[EngineThread]:
    thread = EngineThread()
    yield thread
    thread.close()


@pytest.mark.parametrize("beside", [False, True])
def test_engines_share_a_thread_and_a_model_is_loaded_beside_it(shared: EngineThread, beside: bool) -> None:
    def build(loader: int, queue: CallQueue) -> ScriptedEngine:
        assert queue.submit(threading.get_ident).result() == shared.submit(threading.get_ident).result()
        assert (loader == threading.get_ident()) is beside
        return ScriptedEngine(lambda window, options: result(*spell(" Hi.")))

    start_engine(threading.get_ident, build, 1, shared, beside=beside)
    assert shared.alive


def test_others_go_on_while_a_model_is_loaded(shared: EngineThread) -> None:
    def load() -> str:
        return shared.submit(lambda: "decoded").result(60)

    engine = ScriptedEngine(lambda window, options: result(*spell(" Hi.")))
    assert start_engine(load, lambda model, queue: engine, 1, shared, beside=True) is engine


@pytest.mark.parametrize("where", ["load", "build", "warm-up"])
def test_what_fails_is_raised_and_leaves_the_others_alone(shared: EngineThread, where: str) -> None:
    queues: list[CallQueue] = []

    def fail_in(place: str) -> None:
        if place == where:
            raise MemoryError

    def build(model: None, queue: CallQueue) -> ScriptedEngine:
        queues.append(queue)
        fail_in("build")
        return ScriptedEngine(lambda window, options: fail_in("warm-up") or result())

    with pytest.raises(MemoryError):
        start_engine(lambda: fail_in("load"), build, 1, shared, beside=True)
    assert not any(queue.alive for queue in queues)
    assert shared.submit(lambda: 7).result(60) == 7
