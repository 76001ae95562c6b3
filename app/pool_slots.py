"""What a ModelPool is made of: its limits, the models that are wanted, and a slot for each that is there."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import NamedTuple

from app.loaded_model import LoadedModel


class PoolLimits(NamedTuple):
    """How many models are loaded at a time, and how many bytes their weights take (0: no limit); how long a
    request waits for one, and how many requests do; how long a model stays that nobody uses (inf: for ever).
    """

    models: int
    memory_bytes: int = 0
    wait_seconds: float = 300
    waiting: int = 16
    idle_seconds: float = inf


class Wanted(NamedTuple):
    """A model to be loaded. Equal keys are one loaded copy, whatever the name; `load` may raise anything."""

    key: Hashable
    name: str
    file_bytes: int
    load: Callable[[], LoadedModel]


class SlotState(Enum):
    """What becomes of a slot."""

    LOADING, LOADED, UNLOADING, FAILED = range(4)


@dataclass(frozen=True, eq=False)
class Claim:
    """A request that waits for room for its model."""

    wanted: Wanted


@dataclass(eq=False)
class Slot:
    """A place for one model. `leases`: the requests that use it, or wait for it to be loaded."""

    wanted: Wanted
    weight_bytes: int
    idle_seconds: float
    state: SlotState = SlotState.LOADING
    model: LoadedModel | None = None
    failure: str = ""
    leases: int = 0
    used_at: float = 0.0

    @property
    def idle(self) -> bool:
        """Whether it can be unloaded."""
        return self.state is SlotState.LOADED and not self.leases


class LoadedSlot(NamedTuple):
    """A loaded model as others are told of it; `expires_in_seconds` is inf while it is in use, or stays."""

    key: Hashable
    model: LoadedModel
    weight_bytes: int
    leases: int
    expires_in_seconds: float

    @classmethod
    def of(cls, slot: Slot, now: float) -> "LoadedSlot":
        """What a slot, whose model is loaded, is at a time."""
        assert slot.model is not None
        left = inf if slot.leases else max(0.0, slot.used_at + slot.idle_seconds - now)
        return cls(slot.wanted.key, slot.model, slot.weight_bytes, slot.leases, left)
