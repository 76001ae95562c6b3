"""Two batched engines in one thread: each has its turn, and one can go while the other works."""

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from dataclasses import replace
from itertools import groupby

import pytest
import torch

from app import engines
from app.checkpoints import resolve
from app.engines.batched.model import Model
from app.engines.engine_thread import EngineThread
from app.engines.interface import EngineOptions, LiveEngine, Window, WindowOptions
from app.settings import Settings
from tests.scripted_engine import silence

EN = WindowOptions(language="en")
LONG = replace(EN, temperature=1.0, suppress_tokens=(50257,))
"""Never ends by itself: as many tokens as fit, which are 224."""


@pytest.fixture
def thread() -> Iterator[EngineThread]:
    shared = EngineThread()
    yield shared
    shared.close()


def start(thread: EngineThread, name: str, turns: list[str], precision: str = "exact") -> LiveEngine:
    options = EngineOptions(
        threads=1,
        batch=2,
        precision=precision,
        on_step=lambda rows, capacity: turns.append(name),
        thread=thread,
        beside=True,
    )
    return engines.start("batched", resolve(Settings(model="demo")), "cpu", options)


def window(engine: LiveEngine) -> Window:
    return Window(engine.open(silence(1)), 0, 100)


def test_they_take_turns_step_by_step(thread: EngineThread) -> None:
    turns: list[str] = []
    one, other = start(thread, "one", turns), start(thread, "other", turns)
    windows = [(engine, window(engine)) for engine in (one, one, one, one, other)]
    entered, release = threading.Event(), threading.Event()
    thread.submit(lambda: (turns.clear(), entered.set(), release.wait(60)))
    assert entered.wait(60)
    futures = [engine.submit(each, LONG) for engine, each in windows]  # four clients against one
    release.set()
    assert len(futures[-1].result(120).tokens) == 224
    one.close()
    last = len(turns) - turns[::-1].index("other")
    runs = [len(list(run)) for name, run in groupby(turns[:last]) if name == "one"]
    assert turns[:last].count("other") >= 200
    assert max(runs[1:]) <= 2, "between two turns of the one, the other has one; a prefill is a turn, too"


def test_one_goes_while_the_other_works(thread: EngineThread) -> None:
    one, other = start(thread, "one", []), start(thread, "other", [])
    dropped = [one.submit(window(one), LONG) for _ in range(3)]
    kept = other.submit(window(other), EN)
    one.close()
    for future in dropped:
        with pytest.raises(CancelledError):
            future.result(60)
    alone = other.submit(window(other), EN).result(120)
    assert kept.result(120) == alone
    assert other.alive
    assert not one.alive


def living_models() -> dict[int, weakref.ref[Model]]:
    """By id. `isinstance` would wake torch's deprecated objects."""
    return {id(each): weakref.ref(each) for each in gc.get_objects() if type(each) is Model}


@pytest.fixture
def uncollected() -> Iterator[None]:
    """What refers to itself stays. A collection may be late, or do nothing beside another one."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("options", [EN, LONG], ids=["after work", "at work"])
def test_a_closed_engine_has_let_go_of_its_model(thread: EngineThread, options: WindowOptions) -> None:
    before = living_models()
    engine = start(thread, "one", [])
    [model] = [living for key, living in living_models().items() if key not in before]
    futures = [engine.submit(window(engine), options) for _ in range(3)]
    if options == EN:
        wait(futures, 120)
        engine.align(window(engine), [1, 2], "en", "transcribe").result(120)
    engine.close()
    del engine, futures
    assert model() is None


@pytest.mark.parametrize(("precision", "packed_bytes"), [("exact", 2), ("int8", 1)])
def test_the_weights_size_is_known(thread: EngineThread, precision: str, packed_bytes: int) -> None:
    engine = start(thread, "one", [], precision)
    state = torch.load(resolve(Settings(model="demo")).path, weights_only=True)["model_state_dict"]
    matrices = [
        tensor.numel() for name, tensor in state.items() if name.endswith("weight") and tensor.ndim == 2
    ]
    others = sum(tensor.numel() for tensor in state.values()) - sum(matrices)
    rows = state["decoder.token_embedding.weight"].numel() * 2
    assert engine.card.weight_bytes == sum(matrices) * packed_bytes + others * 4 + rows
