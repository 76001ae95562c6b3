"""What all engines do when they start, around an engine without a model."""

import threading

import pytest
import torch

from app import memory
from app.engines.engine_thread import EngineThread
from app.engines.startup import start_engine
from app.errors import CheckpointError
from tests.scripted_engine import ScriptedEngine, result, spell


def test_the_model_is_loaded_in_the_engines_thread_and_every_path_runs_once() -> None:
    threads: list[EngineThread] = []

    def build(loader: int, thread: EngineThread) -> ScriptedEngine:
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
    threads: list[EngineThread] = []
    decoded_before: list[int] = []
    engine = ScriptedEngine(lambda window, options: result(*spell(" Hi.")))
    monkeypatch.setattr(memory, "drop_file_pages", lambda: decoded_before.append(len(engine.decoded)))

    def build(model: None, thread: EngineThread) -> ScriptedEngine:
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
