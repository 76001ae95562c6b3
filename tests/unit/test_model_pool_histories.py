"""Any history of some models: requests, failing loads, unloads, clients that leave. Nothing is left over."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import inf
from time import monotonic, sleep
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import pool_failures
from app.engines.interface import Window, WindowOptions
from app.errors import ClientGone, ServerBusy
from app.loaded_model import LoadedModel
from app.model_pool import ModelPool
from app.pool_slots import PoolLimits, Wanted
from app.waiting import Check
from tests.scripted_engine import ScriptedEngine, ScriptedRecording, result, spell

PATIENCE_SECONDS = 120
LOAD_SECONDS = 0.005
WINDOW_SECONDS = 0.001
"""For so long a window is decoded, so that other requests come meanwhile."""
WINDOWS = 3
"""How many windows a request has."""

KEYS = {"a": "one", "b": "two", "c": "three", "d": "three"}
"""Four names of three models: the last two are the same weights."""
SIZES = {"one": 1, "two": 2, "three": 3}


class Request(NamedTuple):
    """One client's: it asks for a model, keeps it for `keep_seconds`, and leaves after so many checks."""

    name: str
    checks: float
    keep_seconds: float | None


class Unload(NamedTuple):
    """Somebody asks for a model to go, and waits for it for so many checks."""

    name: str
    checks: float


NAMES = st.sampled_from(sorted(KEYS))
CHECKS = st.sampled_from([inf] * 6 + [0, 1, 1, 2, 2, 3])
REQUESTS = st.builds(Request, NAMES, CHECKS, st.sampled_from([None, 0, 0.01, 60]))
EVENTS = st.one_of(REQUESTS, REQUESTS, REQUESTS, st.builds(Unload, NAMES, CHECKS))
SHORT_SECONDS = 0.004
LIMITS = st.builds(
    PoolLimits,
    models=st.integers(1, 3),
    memory_bytes=st.sampled_from([0, 2, 3, 4, 5]),
    wait_seconds=st.sampled_from([300.0, 300.0, SHORT_SECONDS]),
    waiting=st.sampled_from([16, 16, 2]),
    idle_seconds=st.sampled_from([inf, inf, 0.01, 0]),
)


def patient(checks: float) -> Check:
    """A client that leaves after so many checks."""
    left = checks

    def check() -> None:
        nonlocal left
        if left <= 0:
            raise ClientGone("gone")
        left -= 1

    return check


class Engine(ScriptedEngine):
    """Says its model's key in each window. Its end calls `end`, which may fail; then it answers no more."""

    end: Callable[[], None]

    def submit(self, window: Window, options: WindowOptions) -> Future[Any]:
        assert self.alive, "it was unloaded while it was in use"
        return super().submit(window, options)

    def close(self) -> None:
        super().close()
        self.end()


class World:
    """A pool, its loads and its engines' ends: those whose numbers are in the sets fail."""

    def __init__(self, limits: PoolLimits, failing: set[int], failing_ends: set[int]) -> None:
        self.lock = threading.Lock()
        self.limits, self.failing, self.failing_ends = limits, failing, failing_ends
        self.loads, self.failed, self.ends, self.given_back = 0, 0, 0, 0
        self.engines: list[tuple[str, Engine]] = []
        self.excesses: list[str] = []
        self.pool = ModelPool(limits, self.give_back)

    def wanted(self, name: str) -> Wanted:
        key = KEYS[name]
        return Wanted(key, name, SIZES[key], lambda: self.load(key))

    def load(self, key: str) -> LoadedModel:
        sleep(LOAD_SECONDS)
        with self.lock:
            number, self.loads = self.loads, self.loads + 1
            if number in self.failing:
                self.failed += 1
                raise MemoryError
            engine = Engine(lambda window, options: result(*spell(key)))
            engine.end = self.end
            self.engines.append((key, engine))
            self.look()
        return LoadedModel.of(engine)

    def look(self) -> None:
        """Note what is too much."""
        live = Counter(self.live())
        if max(live.values()) > 1 or live.total() > self.limits.models:
            self.excesses.append(f"loaded at a time: {live}")
        taken = sum(SIZES[key] for key in live)
        if taken > (self.limits.memory_bytes or inf):
            self.excesses.append(f"{taken} bytes: {live}")

    def live(self) -> list[str]:
        return [key for key, engine in self.engines if engine.alive]

    def end(self) -> None:
        with self.lock:
            number, self.ends = self.ends, self.ends + 1
        if number in self.failing_ends:
            raise RuntimeError("CUDA error")

    def give_back(self) -> None:
        with self.lock:
            self.given_back += 1

    def settle(self) -> None:
        """Wait for what the pool has begun: nothing loads or unloads for ever, or stays after its time."""
        for _ in trying():
            loaded = self.pool.loaded()
            if {key for key in SIZES if self.pool.has(key)} == {slot.key for slot in loaded} and all(
                slot.expires_in_seconds > 1 for slot in loaded
            ):
                return

    def run(self, event: Request | Unload) -> str:
        """What became of it."""
        try:
            if isinstance(event, Unload):
                self.pool.unload(KEYS[event.name], patient(event.checks))
                return "asked"
            self.answer(event)
            return "answered"
        except ClientGone:
            return "left"
        except ServerBusy as error:
            return error.message

    def answer(self, request: Request) -> None:
        key = KEYS[request.name]
        with self.pool.lease(
            self.wanted(request.name), patient(request.checks), request.keep_seconds
        ) as model:
            for _ in range(WINDOWS):
                window = Window(ScriptedRecording(100), 0, 100)
                answer = model.engine.submit(window, WindowOptions()).result(PATIENCE_SECONDS)
                assert answer.tokens == spell(key), "another model's answer"
                assert not self.pool.unload(key, patient(0)), "it is in use"
                sleep(WINDOW_SECONDS)

    def may_end_so(self, event: Request | Unload, outcome: str, others: int) -> bool:
        """Whether an event among so many others has a reason for its outcome."""
        too_large = SIZES[KEYS[event.name]] > (self.limits.memory_bytes or inf)
        if isinstance(event, Request) and too_large:
            return "WHISPER_MODEL_MEMORY" in outcome
        reasons = {
            "asked": isinstance(event, Unload),
            "answered": isinstance(event, Request),
            "left": event.checks < inf,
            "not enough memory": self.failed > 0,
            "could not be loaded in time": self.limits.wait_seconds == SHORT_SECONDS,
            "requests wait for a model": others >= self.limits.waiting,
        }
        return any(reason in outcome and is_one for reason, is_one in reasons.items())

    def answers_all(self) -> None:
        """Each model that there is room for answers, one after the other: nobody holds it, or a place."""
        for name in KEYS:
            for _ in trying():
                outcome = self.run(Request(name, inf, None))
                if outcome == "answered" or "WHISPER_MODEL_MEMORY" in outcome:
                    break


def trying() -> Iterator[None]:
    """Time and again, and not for ever."""
    deadline = monotonic() + PATIENCE_SECONDS
    while True:
        assert monotonic() < deadline, "it never comes to an end"
        yield
        sleep(0.001)


@pytest.fixture(autouse=True, scope="module")
def no_pause_after_a_failed_load() -> Iterator[None]:
    """The next request tries again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool_failures, "RETRY_SECONDS", 0)
        yield


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    events=st.lists(EVENTS, min_size=1, max_size=14),
    limits=LIMITS,
    failing=st.sets(st.integers(0, 6), max_size=2),
    failing_ends=st.sets(st.integers(0, 6), max_size=2),
)
def test_every_answer_is_its_models_own_and_nothing_is_left(
    events: list[Request | Unload], limits: PoolLimits, failing: set[int], failing_ends: set[int]
) -> None:
    world = World(limits, failing, failing_ends)
    with ThreadPoolExecutor(len(events)) as clients:
        running = [clients.submit(world.run, event) for event in events]
        outcomes = [each.result(PATIENCE_SECONDS) for each in running]  # nobody waits for ever
    for event, outcome in zip(events, outcomes, strict=True):
        assert world.may_end_so(event, outcome, len(events) - 1), (event, outcome)
    world.answers_all()
    world.settle()
    assert world.excesses == []
    assert all(slot.leases == 0 for slot in world.pool.loaded())
    live = world.live()
    assert sorted(live) == sorted(str(slot.key) for slot in world.pool.loaded()), "only what is loaded lives"
    assert world.given_back == world.failed + len(world.engines) - len(live)
    world.pool.close()
    assert world.live() == []
