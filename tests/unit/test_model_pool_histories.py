"""Any history of three models: requests, failing loads, unloads, clients that leave. Nothing is left over."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import ClientGone, ServerBusy
from app.loaded_model import LoadedModel
from app.model_pool import ModelPool
from app.pool_slots import PoolLimits, Wanted
from tests.scripted_engine import ScriptedEngine, result

PATIENCE_SECONDS = 120
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


class World:
    """A pool, and the loads that it makes: those whose number is in `failing` fail."""

    def __init__(self, most_loaded: int, failing: set[int]) -> None:
        self.lock = threading.Lock()
        self.failing, self.loads, self.live, self.most_live = failing, 0, 0, 0
        self.engines: list[tuple[str, ScriptedEngine]] = []
        self.pool = ModelPool(PoolLimits(most_loaded), lambda: None)
        self.pool._failures = _Forgetful()  # no pause after a failed load: the next request tries again

    def wanted(self, name: str) -> Wanted:
        return Wanted(name, name, 0, lambda: self.load(name))

    def load(self, name: str) -> LoadedModel:
        with self.lock:
            number, self.loads = self.loads, self.loads + 1
            if number in self.failing:
                raise MemoryError
            engine = ScriptedEngine(lambda window, options: result())
            self.engines.append((name, engine))
            alive = sum(each.alive for _, each in self.engines)
            self.most_live = max(self.most_live, alive)
        return LoadedModel.of(engine)

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
                assert model.engine.alive, "it was unloaded while it was in use"
            return "answered"
        except ClientGone:
            return "left"
        except ServerBusy as error:
            assert "not enough memory" in error.message
            return "refused"


class _Forgetful(dict):  # type: ignore[type-arg]
    def __setitem__(self, key: object, value: object) -> None:
        pass


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    events=st.lists(EVENTS, min_size=1, max_size=14),
    most_loaded=st.integers(1, 3),
    failing=st.sets(st.integers(0, 6), max_size=2),
)
def test_every_answer_is_its_models_own_and_nothing_is_left(
    events: list[Request | Unload], most_loaded: int, failing: set[int]
) -> None:
    world = World(most_loaded, failing)
    with ThreadPoolExecutor(len(events)) as clients:
        running = [clients.submit(world.run, event) for event in events]
        outcomes = [each.result(PATIENCE_SECONDS) for each in running]  # nobody waits for ever
    for event, outcome in zip(events, outcomes, strict=True):
        if outcome == "left":
            assert isinstance(event, Request) and event.leaves
    if not failing:
        assert "refused" not in outcomes
    assert world.most_live <= most_loaded
    assert all(slot.leases == 0 for slot in world.pool.loaded())
    assert world.pool._waiting.count == 0 and world.pool._claims == []
    world.pool.close()
