"""What a ModelPool has room for: so many models, and so many bytes of weights."""

from collections.abc import Hashable, Mapping

from app.pool_slots import PoolLimits, Slot, SlotState, Wanted


class PoolRoom:
    """Counts `slots`, the pool's own. Whoever calls anything but `learn` has the pool's lock."""

    def __init__(self, limits: PoolLimits, slots: Mapping[Hashable, Slot]) -> None:
        self._limits = limits
        self._slots = slots
        self._weight_bytes: dict[Hashable, int] = {}

    def expected_bytes(self, wanted: Wanted) -> int:
        """What a model took the last time, or else what its files take."""
        return self._weight_bytes.get(wanted.key, wanted.file_bytes)

    def learn(self, wanted: Wanted, weight_bytes: int) -> int:
        """Remember what a model takes once it is loaded, 0 for unknown; what it is expected to take now."""
        if weight_bytes:
            self._weight_bytes[wanted.key] = weight_bytes
        return self.expected_bytes(wanted)

    def is_too_small_for(self, size: int) -> bool:
        """Whether so many bytes are more than all models may take together."""
        return 0 < self._limits.memory_bytes < size

    def fits(self, wanted: Wanted) -> bool:
        """Whether no other model must go for one."""
        taken = self._taken() + self.expected_bytes(wanted)
        return len(self._slots) < self._limits.models and not self.is_too_small_for(taken)

    @property
    def exceeded(self) -> bool:
        """Whether what is loaded takes more than it may: a model may take more than its files."""
        return self.is_too_small_for(self._taken())

    def next_to_go(self) -> Slot | None:
        """The least recently used model that nobody uses. None as well while one is being unloaded."""
        slots = self._slots.values()
        idle = [slot for slot in slots if slot.idle]
        going = any(slot.state is SlotState.UNLOADING for slot in slots)
        return min(idle, key=lambda slot: slot.used_at) if idle and not going else None

    def told(self) -> str:
        """Which models can be used, for clients."""
        names = [slot.wanted.name for slot in self._slots.values() if slot.model]
        return f"Loaded: {', '.join(names) or 'none'}."

    def _taken(self) -> int:
        return sum(slot.weight_bytes for slot in self._slots.values())
