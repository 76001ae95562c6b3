"""Loading, sharing, waiting for room and unloading, with engines by script. Every wait ends by an event."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from errno import ENOMEM
from math import inf
from time import monotonic, sleep

import pytest

from app import model_pool
from app.errors import CheckpointError, ClientGone, EngineFailure, ServerBusy
from app.loaded_model import LoadedModel
from app.model_pool import ModelPool
from app.pool_slots import PoolLimits, Wanted
from tests.scripted_engine import ScriptedEngine, result

PATIENCE_SECONDS = 60


def stay() -> None:
    """A client that has not gone."""


class Models:
    """Loads by script: a name's load waits for `gates[name]`, then fails with `failures[name]`."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.engines: dict[str, list[ScriptedEngine]] = {}
        self.gates: dict[str, threading.Event] = {}
        self.failures: dict[str, Exception] = {}
        self.begun = threading.Event()

    def wanted(self, name: str, key: str = "", file_bytes: int = 0) -> Wanted:
        return Wanted(key or name, name, file_bytes, lambda: self.load(name))

    def load(self, name: str) -> LoadedModel:
        self.loads.append(name)
        self.begun.set()
        if name in self.gates:
            assert self.gates[name].wait(PATIENCE_SECONDS)
        if name in self.failures:
            raise self.failures[name]
        engine = ScriptedEngine(lambda window, options: result())
        self.engines.setdefault(name, []).append(engine)
        return LoadedModel.of(engine)

    def alive(self) -> list[str]:
        return sorted(name for name, made in self.engines.items() if any(one.alive for one in made))


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def unloaded() -> list[int]:
    return []


@pytest.fixture
def pool_of(unloaded: list[int]) -> Iterator[Callable[..., ModelPool]]:
    with ExitStack() as made:

        def make(count: int = 2, **limits: float) -> ModelPool:
            pool = ModelPool(PoolLimits(count, **limits), lambda: unloaded.append(1))
            made.callback(pool.close)
            return pool

        yield make


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while not condition():
        assert monotonic() < deadline
        sleep(0.01)


def use(pool: ModelPool, wanted: Wanted) -> LoadedModel:
    with pool.lease(wanted, stay) as model:
        return model


def test_a_model_is_loaded_once_and_stays(models: Models, pool_of: Callable[..., ModelPool]) -> None:
    pool = pool_of()
    assert use(pool, models.wanted("a")) is use(pool, models.wanted("a"))
    assert models.loads == ["a"]


def test_all_who_wait_share_a_load(models: Models, pool_of: Callable[..., ModelPool]) -> None:
    pool, gate = pool_of(), threading.Event()
    models.gates["a"] = gate
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(use, pool, models.wanted("a")) for _ in range(4)]
        assert models.begun.wait(PATIENCE_SECONDS)
        use(pool, models.wanted("b"))  # is not held up
        assert not any(each.done() for each in waiting)
        gate.set()
        assert len({id(each.result(PATIENCE_SECONDS)) for each in waiting}) == 1
    assert models.loads == ["a", "b"]


def test_names_of_the_same_weights_are_one_copy(models: Models, pool_of: Callable[..., ModelPool]) -> None:
    pool = pool_of()
    assert use(pool, models.wanted("a", "same")) is use(pool, models.wanted("b", "same"))


def test_the_least_recently_used_one_goes(
    models: Models, pool_of: Callable[..., ModelPool], unloaded: list[int]
) -> None:
    pool = pool_of()
    for name in "abac":
        use(pool, models.wanted(name))
    assert models.alive() == ["a", "c"]
    assert unloaded == [1]


def test_one_in_use_never_goes(models: Models, pool_of: Callable[..., ModelPool]) -> None:
    pool = pool_of(1, wait_seconds=0)
    pool.add(models.wanted("a"), models.load("a"))
    with pool.lease(models.wanted("a"), stay) as used:
        with pytest.raises(ServerBusy, match=r"'b' could not be loaded in time. Loaded: a\.") as caught:
            use(pool, models.wanted("b"))
        assert caught.value.retry_after_seconds
        assert used.engine.alive
        assert not pool.unload("a")
    assert pool.unload("a")
    assert models.alive() == []


def test_who_waits_for_room_gets_it_when_a_model_is_given_back(
    models: Models, pool_of: Callable[..., ModelPool]
) -> None:
    pool = pool_of(1)
    asked = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        with pool.lease(models.wanted("a"), stay):
            waiting = threads.submit(lambda: pool.lease(models.wanted("b"), asked.set).__enter__())
            assert asked.wait(PATIENCE_SECONDS)
            assert models.loads == ["a"]
        assert waiting.result(PATIENCE_SECONDS).engine.alive
    assert models.alive() == ["b"]


@pytest.mark.parametrize("first", ["loaded on demand", "added"])
def test_an_idle_model_goes_and_comes_back(
    models: Models, pool_of: Callable[..., ModelPool], unloaded: list[int], first: str
) -> None:
    pool = pool_of(idle_seconds=0)
    if first == "added":
        pool.add(models.wanted("a"), models.load("a"))
    wait_until(lambda: len(unloaded) == (first == "added"))
    for turn in (1, 2):
        assert use(pool, models.wanted("a")).card
        wait_until(lambda turn=turn: len(unloaded) == turn + (first == "added"))
        assert models.alive() == []


def test_a_request_says_how_long_its_model_stays(
    models: Models, pool_of: Callable[..., ModelPool], unloaded: list[int]
) -> None:
    pool = pool_of(idle_seconds=0)
    with pool.lease(models.wanted("a"), stay, keep_seconds=inf):
        pass
    use(pool, models.wanted("a"))  # one that says nothing leaves it as it is
    assert [slot.expires_in_seconds for slot in pool.loaded()] == [inf]
    with pool.lease(models.wanted("a"), stay, keep_seconds=0.05), pool.lease(models.wanted("a"), stay):
        pass
    wait_until(lambda: unloaded == [1])
    assert models.loads == ["a"]


def test_a_shorter_time_counts_though_a_longer_one_was_waited_for(
    models: Models, pool_of: Callable[..., ModelPool], unloaded: list[int]
) -> None:
    pool = pool_of(3, idle_seconds=3600)
    use(pool, models.wanted("a"))
    with pool.lease(models.wanted("b"), stay, keep_seconds=0.05):
        pass
    wait_until(lambda: unloaded == [1])
    assert models.alive() == ["a"]


def test_a_budget_of_bytes(models: Models, pool_of: Callable[..., ModelPool]) -> None:
    pool = pool_of(9, memory_bytes=100)
    for name in "abc":
        use(pool, models.wanted(name, file_bytes=40))
    assert models.alive() == ["b", "c"]
    with pytest.raises(ServerBusy, match="takes 101 bytes, more than this server may use"):
        use(pool, models.wanted("d", file_bytes=101))


def in_the_warm_up(cause: Exception) -> EngineFailure:
    """What the engine's thread makes of a failure there."""
    failure = EngineFailure("The model failed on this request.")
    failure.__cause__ = cause
    return failure


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "there is not enough memory for it"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "there is not enough memory"),
        (OSError(ENOMEM, "Cannot allocate memory"), "there is not enough memory for it"),
        (RuntimeError("can't start new thread"), "there is not enough memory for it"),
        (in_the_warm_up(MemoryError()), "there is not enough memory for it"),
        (CheckpointError("/secret/path.pt is damaged"), "the server's log says why"),
    ],
)
def test_a_load_that_fails_is_a_sentence_and_is_not_tried_at_once(
    models: Models, pool_of: Callable[..., ModelPool], error: Exception, told: str
) -> None:
    pool = pool_of()
    use(pool, models.wanted("a"))
    models.failures["b"] = error
    for _ in range(2):
        with pytest.raises(ServerBusy, match=told) as caught:
            use(pool, models.wanted("b"))
        assert caught.value.message.endswith("Loaded: a. Please retry.")
        assert "secret" not in caught.value.message
    assert models.loads == ["a", "b"]
    use(pool, models.wanted("a"))


def test_without_a_thread_nothing_is_held_and_it_can_be_tried_again(
    models: Models, pool_of: Callable[..., ModelPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_of(1)

    def fail(_work: object, _name: str) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without_threads:
        without_threads.setattr(model_pool, "run_in_background", fail)
        with pytest.raises(ServerBusy, match=r"not enough memory for it\. Loaded: none"):
            use(pool, models.wanted("a"))
    assert not pool.has("a")
    use(pool, models.wanted("a"))
    with monkeypatch.context() as without_threads:
        without_threads.setattr(model_pool, "run_in_background", fail)
        assert not pool.unload("a")
    assert pool.unload("a")


def test_a_client_that_leaves_waits_no_longer(models: Models, pool_of: Callable[..., ModelPool]) -> None:
    pool = pool_of(1)

    def gone() -> None:
        raise ClientGone("gone")

    with pool.lease(models.wanted("a"), stay), pytest.raises(ClientGone):
        pool.lease(models.wanted("b"), gone).__enter__()
    use(pool, models.wanted("c"))


def test_only_so_many_wait(models: Models, pool_of: Callable[..., ModelPool]) -> None:
    pool, gate = pool_of(1, waiting=0), threading.Event()
    models.gates["a"] = gate
    with pytest.raises(ServerBusy, match="the maximum"):
        use(pool, models.wanted("a"))
    gate.set()


def test_closing_refuses_who_waits(models: Models, pool_of: Callable[..., ModelPool]) -> None:
    pool = pool_of(1)
    asked = threading.Event()
    with ThreadPoolExecutor(1) as threads, pool.lease(models.wanted("a"), stay):
        waiting = threads.submit(lambda: pool.lease(models.wanted("b"), asked.set).__enter__())
        assert asked.wait(PATIENCE_SECONDS)
        pool.close()
        with pytest.raises(ServerBusy, match="stopping"):
            waiting.result(PATIENCE_SECONDS)
    assert models.alive() == []
