"""The models that a worker has loaded: for who asks, kept while in use, unloaded when others need room."""

import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from math import inf
from threading import Condition
from time import monotonic
from typing import TypeVar

from app.alarm import Alarm
from app.background import tried_in_background
from app.errors import ServerBusy
from app.loaded_model import LoadedModel
from app.pool_failures import RETRY_SECONDS, LoadFailures, load_failure, too_large
from app.pool_room import PoolRoom
from app.pool_slots import Claim, LoadedSlot, PoolLimits, Slot, SlotState, Wanted
from app.pool_waiting import Wait, WaitingRequests
from app.shared_work import SharedWork
from app.waiting import POLL_SECONDS, Check

T = TypeVar("T")

_log = logging.getLogger(__name__)

_STOPPING = "The server is stopping. Please retry."


class ModelPool:
    """Lends loaded models. Any thread may ask; loading and unloading run in threads of their own.

    `on_unloaded()` is called when a model has been closed and dropped, or could not be loaded. Whatever a
    load, an engine's end or `on_unloaded` raises, nobody waits for it any longer.
    """

    def __init__(
        self,
        limits: PoolLimits,
        on_unloaded: Callable[[], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.limits = limits
        self._on_unloaded = on_unloaded
        self._clock = clock
        self._changed = Condition()
        self._slots: dict[Hashable, Slot] = {}
        self._claims: list[Claim] = []  # in turn
        self._failures = LoadFailures(clock)
        self._shared = SharedWork(self._changed)
        self._room = PoolRoom(limits, self._slots)
        self._waiting = WaitingRequests(self._changed, limits, self._told, clock)
        self._sweeper = Alarm(self._sweep_again, clock)
        self._closed = False

    def add(self, wanted: Wanted, model: LoadedModel) -> None:
        """Take in a model that has been loaded elsewhere."""
        with self._changed:
            slot = self._slots[wanted.key] = self._new_slot(wanted)
            self._fill(slot, model)

    def latest_end(self) -> float:
        """Until when a request may wait that begins to wait now."""
        return self._clock() + self.limits.wait_seconds

    def loaded(self) -> list[LoadedSlot]:
        """The models that can be used at once, the least recently used one first."""
        with self._changed:
            slots = sorted(self._slots.values(), key=lambda slot: slot.used_at)
            now = self._clock()
            return [LoadedSlot.of(slot, now) for slot in slots if slot.state is SlotState.LOADED]

    def get(self, key: Hashable) -> LoadedModel | None:
        """The model with a key if it is loaded."""
        with self._changed:
            slot = self._slots.get(key)
            return slot.model if slot else None

    def failed(self, key: Hashable) -> bool:
        """Whether the model could not be loaded, and will not be tried again for a while."""
        with self._changed:
            return self._failures.remembers(key)

    def has_room(self, wanted: Wanted) -> bool:
        """Whether the model is there, or no other one must go for it."""
        with self._changed:
            return wanted.key in self._slots or self._room.fits(wanted)

    def wait_for(self, name: str, key: Hashable, work: Callable[[], T], check: Check, deadline: float) -> T:
        """What `work` returns or raises: it is done once for all who ask for a key at a time, who wait as for
        a load. Raises ServerBusy where it takes too long, and what `check` raises.
        """
        with self._waiting.place(name, check, deadline) as wait:
            return self._shared.result(key, work, wait)

    @contextmanager
    def lease(
        self, wanted: Wanted, check: Check, keep_seconds: float | None = None, deadline: float = inf
    ) -> Iterator[LoadedModel]:
        """Hold a loaded model; it is not unloaded meanwhile. Loads it if need be, and waits for room.

        `keep_seconds`: how long it stays afterwards if nobody uses it, in place of what was set before.
        Raises ServerBusy where it can't be had by `deadline`, in time or at all, and what `check` raises.
        """
        with ExitStack() as held:
            with self._waiting.place(wanted.name, check, deadline) as wait:
                slot = self._reserve(wanted, wait)
                held.callback(self._release, slot, keep_seconds)
                model = self._wait_until_loaded(slot, wait)
            yield model

    def has(self, key: Hashable) -> bool:
        """Whether the model is loaded, or about to be."""
        with self._changed:
            return key in self._slots

    def unload(self, key: Hashable, check: Check) -> bool:
        """Unload a model that nobody uses, and wait for it. False if it is not loaded, or in use.

        Raises what `check` raises; then it goes nevertheless.
        """
        with self._changed:
            slot = self._slots.get(key)
            if slot is None or not slot.idle or not self._unload(slot):
                return False
            while self._slots.get(key) is slot:
                check()
                self._changed.wait(POLL_SECONDS)
            return True

    def close(self) -> None:
        """Refuse all who wait, and close the loaded models' engines, but those that are being unloaded."""
        with self._changed:
            self._closed = True
            self._sweeper.cancel()
            models = [slot.model for slot in self.loaded()]
            self._changed.notify_all()
        for model in models:
            model.close()

    def _reserve(self, wanted: Wanted, wait: Wait) -> Slot:
        """The slot of a model, with one lease more: from now on it is not unloaded."""
        claim = Claim(wanted)
        with self._changed:
            try:
                while not (slot := self._slot_for(wanted, claim)):
                    wait()
                slot.leases += 1
                return slot
            finally:
                if claim in self._claims:
                    self._claims.remove(claim)
                    self._changed.notify_all()

    def _slot_for(self, wanted: Wanted, claim: Claim) -> Slot | None:
        """The slot that holds the model or will; None while there is no room for it."""
        if self._closed:
            raise ServerBusy(_STOPPING)
        slot = self._slots.get(wanted.key)
        if slot is not None:
            return None if slot.state is SlotState.UNLOADING else slot
        self._refuse_hopeless(wanted)
        if claim not in self._claims:
            self._claims.append(claim)
        if self._claims[0] is not claim or not self._make_room(wanted):
            return None
        slot = self._new_slot(wanted)
        if not tried_in_background(partial(self._load, slot), "model-loader"):
            raise ServerBusy(load_failure(wanted.name, None, self._told()), retry_after_seconds=RETRY_SECONDS)
        self._slots[wanted.key] = slot  # the loader needs the lock before it looks for it
        return slot

    def _refuse_hopeless(self, wanted: Wanted) -> None:
        self._failures.check(wanted.key)
        size = self._room.expected_bytes(wanted)
        if self._room.is_too_small_for(size):
            raise ServerBusy(too_large(wanted.name, size, self._told()), retry_after_seconds=120)

    def _make_room(self, wanted: Wanted) -> bool:
        """Whether the model fits. If not, the least recently used one that nobody uses is unloaded."""
        fits = self._room.fits(wanted)
        if not fits and (slot := self._room.next_to_go()):
            self._unload(slot)
        return fits

    def _keep_budget(self) -> None:
        if self._room.exceeded and (slot := self._room.next_to_go()):
            self._unload(slot)

    def _wait_until_loaded(self, slot: Slot, wait: Wait) -> LoadedModel:
        with self._changed:
            while slot.state is SlotState.LOADING:
                if self._closed:
                    raise ServerBusy(_STOPPING)
                wait()
            if slot.model is None:
                raise ServerBusy(slot.failure, retry_after_seconds=RETRY_SECONDS)
            return slot.model

    def _told(self) -> str:
        with self._changed:
            return self._room.told()

    def _release(self, slot: Slot, keep_seconds: float | None) -> None:
        with self._changed:
            slot.leases -= 1
            slot.used_at = self._clock()
            if keep_seconds is not None:
                slot.idle_seconds = keep_seconds
            self._keep_budget()
            if slot.idle and self._claims:  # before anybody uses it again
                self._make_room(self._claims[0].wanted)
            self._sweep()
            self._changed.notify_all()

    def _load(self, slot: Slot) -> None:
        """Runs in a thread of its own."""
        model, failure = None, _STOPPING
        try:
            model = slot.wanted.load()
        except BaseException as error:  # whatever it is, others wait for the outcome
            if not self._closed:
                failure = load_failure(slot.wanted.name, error, self._told())
        if model and self._room.is_too_small_for(self._room.learn(slot.wanted, model.card.weight_bytes)):
            failure = too_large(slot.wanted.name, model.card.weight_bytes, self._told())
            model.close()
            model = None
        if model:
            self._loaded(slot, model)
        else:  # the error, whose traceback has referred to what was loaded, is no more
            self._not_loaded(slot, failure)

    def _loaded(self, slot: Slot, model: LoadedModel) -> None:
        with self._changed:
            self._fill(slot, model)
            self._keep_budget()
            closed = self._closed
            self._changed.notify_all()
        if closed:
            model.close()

    def _not_loaded(self, slot: Slot, failure: str) -> None:
        self._give_back_memory()
        with self._changed:
            slot.state, slot.failure = SlotState.FAILED, failure
            self._failures.remember(slot.wanted.key, failure)
            del self._slots[slot.wanted.key]
            self._changed.notify_all()

    def _fill(self, slot: Slot, model: LoadedModel) -> None:
        slot.weight_bytes = self._room.learn(slot.wanted, model.card.weight_bytes)
        slot.model, slot.state, slot.used_at = model, SlotState.LOADED, self._clock()
        self._sweep()

    def _unload(self, slot: Slot) -> bool:
        """Begin to; False if that can't be done now."""
        slot.state = SlotState.UNLOADING
        if not tried_in_background(partial(self._close_model, slot), "model-unloader"):
            slot.state = SlotState.LOADED
        return slot.state is SlotState.UNLOADING

    def _close_model(self, slot: Slot) -> None:
        """Runs in a thread of its own. The slot is free when the memory is."""
        model, slot.model = slot.model, None
        if model:
            model.close()
        del model
        self._give_back_memory()
        _log.info("Unloaded %s", slot.wanted.name)
        with self._changed:
            del self._slots[slot.wanted.key]
            self._keep_budget()
            self._changed.notify_all()

    def _give_back_memory(self) -> None:
        try:
            self._on_unloaded()
        except BaseException:  # the slot is free all the same
            _log.exception("Memory of a model was not given back")

    def _sweep(self) -> None:
        """Unload what nobody has used for so long, and come back when the next one is due."""
        now, due = self._clock(), inf
        for slot in [slot for slot in self._slots.values() if slot.idle]:
            if slot.used_at + slot.idle_seconds > now:
                due = min(due, slot.used_at + slot.idle_seconds)
            elif not self._unload(slot):
                due = min(due, now + RETRY_SECONDS)
        if not self._closed:
            self._sweeper.set(due)

    def _sweep_again(self) -> None:
        with self._changed:
            self._sweeper.rang()
            self._sweep()

    def _new_slot(self, wanted: Wanted) -> Slot:
        return Slot(wanted, self._room.expected_bytes(wanted), self.limits.idle_seconds)
