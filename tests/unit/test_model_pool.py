"""Loading, sharing, waiting for room and unloading, with engines by script. Every wait ends by an event."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from errno import ENOMEM
from math import inf
from time import monotonic

import pytest

from app.errors import CheckpointError, ClientGone, EngineFailure, ServerBusy
from app.loaded_model import LoadedModel
from app.model_pool import ModelPool
from app.pool_slots import PoolLimits, Wanted
from tests.scripted_engine import ScriptedEngine, result
from tests.threads import no_thread, wait_until

PATIENCE_SECONDS = 60
Clock = Callable[[], float]


def stay() -> None:
    """A client that has not gone."""


class Models:
    """Loads by script: a name's load waits for `gates[name]`, then fails with `failures[name]`.

    The end of its engine waits for `ends[name]`, then fails with `end_failures[name]`.
    """

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.engines: dict[str, list[ScriptedEngine]] = {}
        self.gates: dict[str, threading.Event] = {}
        self.failures: dict[str, BaseException] = {}
        self.ends: dict[str, threading.Event] = {}
        self.end_failures: dict[str, BaseException] = {}
        self.ending = threading.Event()
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
        engine = EngineOfThese(lambda window, options: result())
        engine.models, engine.name = self, name
        self.engines.setdefault(name, []).append(engine)
        return LoadedModel.of(engine)

    def alive(self) -> list[str]:
        return sorted(name for name, made in self.engines.items() if any(one.alive for one in made))


class EngineOfThese(ScriptedEngine):
    """Ends as its `models` say."""

    models: Models
    name: str

    def close(self) -> None:
        self.models.ending.set()
        if self.name in self.models.ends:
            assert self.models.ends[self.name].wait(PATIENCE_SECONDS)
        if self.name in self.models.end_failures:
            raise self.models.end_failures[self.name]
        super().close()


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def unloaded() -> list[int]:
    return []


@pytest.fixture
def pool_of(unloaded: list[int]) -> Iterator[Callable[..., ModelPool]]:
    with ExitStack() as made:

        def make(
            count: int = 2,
            on_unloaded: Callable[[], None] | None = None,
            clock: Clock = monotonic,
            **limits: float,
        ) -> ModelPool:
            pool = ModelPool(PoolLimits(count, **limits), on_unloaded or (lambda: unloaded.append(1)), clock)
            made.callback(pool.close)
            return pool

        yield make


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
        assert not pool.unload("a", stay)
    assert pool.unload("a", stay)
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
    with pytest.raises(ServerBusy, match=r"takes 101 bytes, more than this server may use.*Loaded: b, c\."):
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


FAILURES = [RuntimeError("CUDA error: an illegal memory access"), SystemExit()]


def fail_with(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_nobody_waits_for_an_engine_that_does_not_end_properly(
    models: Models, pool_of: Callable[..., ModelPool], unloaded: list[int], error: BaseException
) -> None:
    pool = pool_of(1)
    models.end_failures["a"] = error
    use(pool, models.wanted("a"))
    assert pool.unload("a", stay)
    assert unloaded == [1]  # what can be given back is
    use(pool, models.wanted("a"))
    use(pool, models.wanted("b"))  # there is room again
    assert models.loads == ["a", "a", "b"]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_nobody_waits_for_memory_that_is_not_given_back(
    models: Models, pool_of: Callable[..., ModelPool], caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    pool = pool_of(1, fail_with(error))
    use(pool, models.wanted("a"))
    assert pool.unload("a", stay)
    models.failures["b"] = MemoryError()
    with pytest.raises(ServerBusy, match="not enough memory"):
        use(pool, models.wanted("b"))
    use(pool, models.wanted("a"))
    assert caplog.text.count("was not given back") == 2


def test_nobody_waits_for_a_load_that_ended_its_thread(
    models: Models, pool_of: Callable[..., ModelPool]
) -> None:
    pool = pool_of()
    models.failures["a"] = SystemExit()
    with pytest.raises(ServerBusy, match="the server's log says why"):
        use(pool, models.wanted("a"))
    assert pool.loaded() == [] and not pool.has("a")


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """From now on the system starts none, until what this gives is called."""

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        yield patched.undo


def test_a_load_without_a_thread_to_spare_is_refused(
    models: Models, pool_of: Callable[..., ModelPool], no_threads: Callable[[], None]
) -> None:
    pool = pool_of()
    with pytest.raises(ServerBusy, match="'a' can't be loaded at present"):
        use(pool, models.wanted("a"))
    no_threads()
    assert use(pool, models.wanted("a")).card


def test_a_model_stays_where_no_thread_can_unload_it(
    models: Models, pool_of: Callable[..., ModelPool], no_threads: Callable[[], None], unloaded: list[int]
) -> None:
    pool = pool_of(idle_seconds=0)
    pool.add(models.wanted("a"), models.load("a"))
    assert not pool.unload("a", stay)
    assert use(pool, models.wanted("a")).engine.alive
    no_threads()
    use(pool, models.wanted("a"))
    wait_until(lambda: unloaded == [1])


def test_who_asks_for_an_unload_and_leaves_waits_no_longer(
    models: Models, pool_of: Callable[..., ModelPool]
) -> None:
    pool, end = pool_of(), threading.Event()
    models.ends["a"] = end
    use(pool, models.wanted("a"))
    with pytest.raises(ClientGone):
        pool.unload("a", fail_with(ClientGone("gone")))  # type: ignore[arg-type]
    end.set()
    wait_until(lambda: not pool.has("a"))


def test_no_more_goes_than_there_must_be_room_for(
    models: Models, pool_of: Callable[..., ModelPool], unloaded: list[int]
) -> None:
    pool, end = pool_of(2), threading.Event()
    models.ends["a"] = end
    use(pool, models.wanted("a"))
    with ThreadPoolExecutor(1) as threads:
        with pool.lease(models.wanted("b"), stay):
            waiting = threads.submit(use, pool, models.wanted("c"))
            assert models.ending.wait(PATIENCE_SECONDS)  # `a` makes room
        end.set()
        assert waiting.result(PATIENCE_SECONDS)
    assert models.alive() == ["b", "c"]
    assert unloaded == [1]


def test_a_request_waits_no_longer_for_room_and_the_load_together(
    models: Models, pool_of: Callable[..., ModelPool]
) -> None:
    now, gate, asked = [0.0], threading.Event(), threading.Event()
    pool = pool_of(1, clock=lambda: now[0], wait_seconds=300)
    models.gates["b"] = gate
    with ThreadPoolExecutor(1) as threads:
        with pool.lease(models.wanted("a"), stay):
            waiting = threads.submit(lambda: pool.lease(models.wanted("b"), asked.set).__enter__())
            assert asked.wait(PATIENCE_SECONDS)
            now[0] = 200
        wait_until(lambda: "b" in models.loads)
        now[0] = 301
        with pytest.raises(ServerBusy, match="in time"):
            waiting.result(PATIENCE_SECONDS)
        gate.set()


def test_closing_ends_all_engines_though_one_fails(models: Models, pool_of: Callable[..., ModelPool]) -> None:
    pool = pool_of()
    for name in "ab":
        use(pool, models.wanted(name))
    models.end_failures["a"] = RuntimeError("CUDA error")
    pool.close()
    assert models.alive() == ["a"]


def test_a_load_that_ends_with_the_server_is_no_failure(
    models: Models, pool_of: Callable[..., ModelPool], caplog: pytest.LogCaptureFixture
) -> None:
    pool, gate = pool_of(), threading.Event()
    models.gates["a"] = gate
    models.failures["a"] = RuntimeError("cancelled")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(use, pool, models.wanted("a"))
        assert models.begun.wait(PATIENCE_SECONDS)
        pool.close()
        gate.set()
        with pytest.raises(ServerBusy, match="stopping"):
            waiting.result(PATIENCE_SECONDS)
    wait_until(lambda: not pool.has("a"))
    assert not caplog.records
