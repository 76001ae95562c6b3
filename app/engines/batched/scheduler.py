"""Whose turn it is. Lists and counts only: no tensors, no threads, no clock.

Work comes as turns: each belongs to an owner (a recording) and may put rows into the running batch.
Owners take turns one after the other, so a short note waits for one turn of a long meeting and not
for all of them; and between two turns the running rows advance by some steps.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

Work = TypeVar("Work")


@dataclass(frozen=True)
class Turn(Generic[Work]):
    """Something that is done between two decoding steps, and the rows it adds to the batch."""

    work: Work
    owner: object
    rows: int = 0


class Idle(Enum):
    """What to do when it is nobody's turn."""

    STEP = "advance the running rows"
    WAIT = "there is nothing to do"


class Scheduler(Generic[Work]):
    """Queues of turns, one for each owner. `capacity` is how many rows the batch should hold at most."""

    def __init__(self, capacity: int, steps_between_turns: int) -> None:
        self.capacity = capacity
        self._pause = steps_between_turns
        self._queues: OrderedDict[object, deque[Turn[Work]]] = OrderedDict()
        self._steps_since_turn = steps_between_turns

    @property
    def waiting(self) -> int:
        """Turns that have not come yet."""
        return sum(map(len, self._queues.values()))

    def add(self, turn: Turn[Work]) -> None:
        """Queue a turn behind its owner's others; a new owner comes after all that wait."""
        self._queues.setdefault(turn.owner, deque()).append(turn)

    def next(self, running: int) -> Turn[Work] | Idle:
        """The next turn if one may come now, else what to do instead; `running` rows are in the batch."""
        if running and self._steps_since_turn < self._pause:
            return self._step()
        full = False
        for owner, queue in self._queues.items():
            rows = queue[0].rows
            if not rows or (not full and self._has_room(rows, running)):
                return self._take(owner)
            full = True  # nobody with rows overtakes one that waits for room, or it would wait for ever
        return self._step() if running else Idle.WAIT

    def drop(self, unwanted: Callable[[Work], bool]) -> list[Work]:
        """Take out every waiting turn whose work nobody wants any more, and return that work."""
        dropped: list[Work] = []
        for owner, queue in list(self._queues.items()):
            kept: deque[Turn[Work]] = deque()
            for turn in queue:  # each is asked once: clients leave at any moment
                if unwanted(turn.work):
                    dropped.append(turn.work)
                else:
                    kept.append(turn)
            self._keep(owner, kept)
        return dropped

    def _has_room(self, rows: int, running: int) -> bool:
        """A turn with more rows than the batch should hold runs alone."""
        return not running or running + rows <= self.capacity

    def _take(self, owner: object) -> Turn[Work]:
        queue = self._queues.pop(owner)
        turn = queue.popleft()
        self._keep(owner, queue)  # at the end: the other owners come first
        self._steps_since_turn = 0
        return turn

    def _keep(self, owner: object, queue: deque[Turn[Work]]) -> None:
        if queue:
            self._queues[owner] = queue
        else:
            self._queues.pop(owner, None)

    def _step(self) -> Idle:
        self._steps_since_turn += 1
        return Idle.STEP
