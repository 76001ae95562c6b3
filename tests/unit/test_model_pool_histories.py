"""Any history of three models: requests, failing loads, unloads, clients that leave. Nothing is left over."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import ClientGone, ServerBusy
from app.loaded_model import LoadedModel
from app.model_pool import ModelPool
from app.pool_failures import LoadFailures
from app.pool_slots import PoolLimits, SlotState, Wanted
from tests.scripted_engine import ScriptedEngine, result

PATIENCE_SECONDS = 120
WORK_SECONDS = 0.002
"""For so long a request uses its model, so that others come meanwhile."""
NAMES = "abc"


class Request(NamedTuple):
    """One client's: it asks for a model, leaves at once if `leaves`, keeps it for `keep_seconds`."""

    name: str
    leaves: bool
    keep_seconds: float | None


class Unload(NamedTuple):
    """Somebody asks for a model to go."""

    name: str


EVENTS = st.one_of(
    st.builds(
        Request,
        st.sampled_from(NAMES),
        st.sampled_from([False] * 5 + [True]),
        st.sampled_from([None, 0, 0.01, 60]),
    ),
    st.builds(Unload, st.sampled_from(NAMES)),
)


class Engine(ScriptedEngine):
    """Ends, and says so, if it is among the world's `failing_ends` with an error."""

    end: Callable[[], None]

    def close(self) -> None:
        super().close()
        self.end()


class World:
    """A pool, its loads and its engines' ends: those whose numbers are in the sets fail."""

    def __init__(self, most_loaded: int, failing: set[int], failing_ends: set[int]) -> None:
        self.lock = threading.Lock()
        self.failing, self.failing_ends = failing, failing_ends
        self.loads, self.failed, self.ends, self.most_live, self.given_back = 0, 0, 0, 0, 0
        self.engines: list[tuple[str, Engine]] = []
        self.pool = ModelPool(PoolLimits(most_loaded), self.give_back)
        self.pool._failures = LoadFailures(
            monotonic, 0
        )  # no pause after a failed load: the next request tries again

    def wanted(self, name: str) -> Wanted:
        return Wanted(name, name, 0, lambda: self.load(name))

    def load(self, name: str) -> LoadedModel:
        with self.lock:
            number, self.loads = self.loads, self.loads + 1
            if number in self.failing:
                self.failed += 1
                raise MemoryError
            engine = Engine(lambda window, options: result())
            engine.end = self.end
            self.engines.append((name, engine))
            live = self.live()
            self.most_live = max(self.most_live, len(live))
        most = max(Counter(name for name, _ in live).values())
        return LoadedModel.of(engine) if most == 1 else pytest.fail(f"two of {name} are loaded")

    def live(self) -> list[tuple[str, Engine]]:
        return [(name, engine) for name, engine in self.engines if engine.alive]

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
        deadline = monotonic() + PATIENCE_SECONDS
        while any(
            slot.state is not SlotState.LOADED or slot.idle_seconds < 1
            for slot in list(self.pool._slots.values())
        ):
            assert monotonic() < deadline, "a slot is never free"
            sleep(0.001)

    def run(self, event: Request | Unload) -> str:
        """What became of it."""
        if isinstance(event, Unload):
            self.pool.unload(event.name, lambda: None)
            return "asked"

        def check() -> None:
            if event.leaves:
                raise ClientGone("gone")

        try:
            with self.pool.lease(self.wanted(event.name), check, event.keep_seconds) as model:
                [owner] = [name for name, engine in self.engines if engine is model.engine]
                assert owner == event.name, "another model's engine"
                assert not self.pool.unload(event.name, lambda: None), "it is in use"
                sleep(WORK_SECONDS)
                assert model.engine.alive, "it was unloaded while it was in use"
            return "answered"
        except ClientGone:
            return "left"
        except ServerBusy as error:
            assert "not enough memory" in error.message
            return "refused"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    events=st.lists(EVENTS, min_size=1, max_size=14),
    most_loaded=st.integers(1, 3),
    failing=st.sets(st.integers(0, 6), max_size=2),
    failing_ends=st.sets(st.integers(0, 6), max_size=2),
)
def test_every_answer_is_its_models_own_and_nothing_is_left(
    events: list[Request | Unload], most_loaded: int, failing: set[int], failing_ends: set[int]
) -> None:
    world = World(most_loaded, failing, failing_ends)
    with ThreadPoolExecutor(len(events)) as clients:
        running = [clients.submit(world.run, event) for event in events]
        outcomes = [each.result(PATIENCE_SECONDS) for each in running]  # nobody waits for ever
    for event, outcome in zip(events, outcomes, strict=True):
        if outcome == "left":
            assert isinstance(event, Request) and event.leaves
    assert "refused" not in outcomes or world.failed
    world.settle()
    assert world.most_live <= most_loaded
    assert all(slot.leases == 0 for slot in world.pool.loaded())
    assert world.pool._waiting.count == 0 and world.pool._claims == []
    live = world.live()
    assert len(live) == len(world.pool.loaded()), "only what is loaded lives"
    assert world.given_back == world.failed + len(world.engines) - len(live)
    world.pool.close()
    assert world.live() == []
