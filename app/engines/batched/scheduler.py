"""Whose turn it is. Lists and counts only: no tensors, no threads, no clock.

Work comes as turns: each belongs to an owner (a recording) and may put rows into the running batch,
for one of its windows. The owner with the fewest windows there comes first, so a short note waits for
one turn of a long meeting and not for all of them; owners with as many take turns. Between two turns
the running rows advance by some steps.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
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
    """Queues of turns, one for each owner.

    `capacity` is how many rows the batch should hold at most. Up to `most` are there for newcomers, who
    have no window in the batch, while another has several. Between two turns come `pause` steps. For
    `shelter` steps after a newcomer has joined others, whoever has a window gets no second one: a
    meeting's encodes and rows are what makes a note slow.
    """

    def __init__(self, capacity: int, most: int, pause: int, shelter: int) -> None:
        self.capacity = capacity
        self._most = most
        self._pause = pause
        self._shelter = shelter
        self._queues: OrderedDict[object, deque[Turn[Work]]] = OrderedDict()
        self._steps_since_turn = pause
        self._steps_since_newcomer = shelter

    @property
    def waiting(self) -> int:
        """Turns that have not come yet."""
        return sum(map(len, self._queues.values()))

    def add(self, turn: Turn[Work]) -> None:
        """Queue a turn behind its owner's others; a new owner comes after all that wait."""
        self._queues.setdefault(turn.owner, deque()).append(turn)

    def next(self, rows: int, windows: Mapping[object, int]) -> Turn[Work] | Idle:
        """The next turn if one may come now, else what to do instead.

        `rows` are in the batch, and `windows` says how many there each owner has that has any.
        """
        full = False
        for owner in sorted(self._queues, key=lambda owner: windows.get(owner, 0)):
            if self._steps_since_turn < self._pause_of(owner, windows):
                break  # the rest have as many windows or more, and wait as long or longer
            needed = self._queues[owner][0].rows
            if not needed or (not full and self._has_room(owner, needed, rows, windows)):
                return self._take(owner, windows)
            full = True  # nobody with rows overtakes one that waits for room, or it would wait for ever
        return self._step() if rows else Idle.WAIT

    def shrink(self) -> None:
        """Let the batch hold half as many rows from now on, newcomers' included."""
        self.capacity = max(1, self.capacity // 2)
        self._most = self.capacity

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

    def _pause_of(self, owner: object, windows: Mapping[object, int]) -> int:
        """How many steps must come between the last turn and an owner's."""
        if not windows:
            return 0
        if owner not in windows and min(windows.values()) > 1:
            return 1  # whoever runs has more: they can wait, but they do advance
        if owner in windows and self._steps_since_newcomer < self._shelter:
            return self._shelter
        return self._pause

    def _has_room(self, owner: object, needed: int, rows: int, windows: Mapping[object, int]) -> bool:
        """A turn with more rows than the batch should hold runs alone."""
        crowded = owner not in windows and max(windows.values(), default=0) > 1
        return not rows or rows + needed <= (self._most if crowded else self.capacity)

    def _take(self, owner: object, windows: Mapping[object, int]) -> Turn[Work]:
        queue = self._queues.pop(owner)
        turn = queue.popleft()
        self._keep(owner, queue)  # at the end: the other owners come first
        self._steps_since_turn = 0
        if turn.rows and windows and owner not in windows:
            self._steps_since_newcomer = 0
        return turn

    def _keep(self, owner: object, queue: deque[Turn[Work]]) -> None:
        if queue:
            self._queues[owner] = queue
        else:
            self._queues.pop(owner, None)

    def _step(self) -> Idle:
        self._steps_since_turn += 1
        self._steps_since_newcomer += 1
        return Idle.STEP
