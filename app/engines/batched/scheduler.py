"""Which task runs next: lists and counts only. No tensors, no threads, no clock.

Tasks are queued by owner (a recording). A task may add rows to the running batch, for one of its owner's
windows. The owner with the fewest windows in the batch is served first, and equal ones round-robin: a short
note waits for one task of a long meeting, not for all of them. Between two tasks the running rows advance by
some steps.

The recordings of realtime sessions are short and many, so they would always come first. While an upload
waits, they get three of four tasks together, and it gets the fourth.
"""

import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Generic, TypeVar

from app.scheduling import SchedulingClass

TaskT = TypeVar("TaskT")

_SESSION_TASKS_PER_UPLOAD_TASK = 3
_OF_UPLOADS: Mapping[SchedulingClass, int] = MappingProxyType({SchedulingClass.UPLOAD: sys.maxsize})


@dataclass(frozen=True)
class QueuedTask(Generic[TaskT]):
    """A task that runs between two decoding steps, and how many rows it adds to the batch."""

    task: TaskT
    owner: object
    rows: int = 0
    scheduling_class: SchedulingClass = SchedulingClass.UPLOAD


class Action(Enum):
    """What to do where no task may run."""

    STEP = "advance the running rows"
    WAIT = "nothing runs and nothing is queued"


class Scheduler(Generic[TaskT]):
    """One queue of tasks for each owner.

    `capacity`: rows in the batch at most. `max_rows`: the same for a new request (an owner without a window
    in the batch) while another owner has several windows, and for an utterance that is over while text of one
    that isn't is in the batch. `steps_between_tasks`: decoding steps between two
    tasks. `holdoff_steps_after_join`: for so many steps after a new request has joined others, an owner that
    has a window in the batch gets no second one, because a meeting's encodes and rows are what slows a note
    down. Text of an utterance that isn't over joins without that, and waits for those that are.
    """

    def __init__(
        self, capacity: int, max_rows: int, steps_between_tasks: int, holdoff_steps_after_join: int
    ) -> None:
        self.capacity = capacity
        self._max_rows = max_rows
        self._steps_between_tasks = steps_between_tasks
        self._holdoff_steps_after_join = holdoff_steps_after_join
        self._queues: OrderedDict[object, deque[QueuedTask[TaskT]]] = OrderedDict()
        self._steps_since_task = steps_between_tasks
        self._steps_since_join = holdoff_steps_after_join
        self._steps_since_utterance = holdoff_steps_after_join
        self._running_classes = _OF_UPLOADS
        self._session_tasks = 0  # since the last task of an upload, while one waits

    @property
    def waiting(self) -> int:
        """How many tasks are queued."""
        return sum(map(len, self._queues.values()))

    def add(self, queued: QueuedTask[TaskT]) -> None:
        """Queue a task behind its owner's others; a new owner comes after all that wait."""
        self._queues.setdefault(queued.owner, deque()).append(queued)

    def next(
        self,
        running_rows: int,
        running_windows: Mapping[object, int],
        running_classes: Mapping[SchedulingClass, int] = _OF_UPLOADS,
    ) -> QueuedTask[TaskT] | Action:
        """The next task if one may run now, else what to do instead.

        `running_windows`: how many windows each owner has in the batch, for owners that have any.
        `running_classes`: how many of the windows are of each class.
        """
        self._running_classes = running_classes
        owner = self._next_owner(running_rows, running_windows)
        if owner is not None:
            return self._dequeue(owner, running_windows)
        if not running_rows:
            return Action.WAIT
        self._steps_since_task += 1
        self._steps_since_join += 1
        self._steps_since_utterance += 1
        return Action.STEP

    def shrink(self) -> None:
        """Halve the capacity, for new requests too."""
        self.capacity = max(1, self.capacity // 2)
        self._max_rows = self.capacity

    def drop(self, is_abandoned: Callable[[TaskT], bool]) -> list[TaskT]:
        """Remove and return every queued task that is abandoned."""
        dropped: list[TaskT] = []
        for owner, queue in list(self._queues.items()):
            kept: deque[QueuedTask[TaskT]] = deque()
            for queued in queue:  # each is asked once: the answer may change at any moment
                if is_abandoned(queued.task):
                    dropped.append(queued.task)
                else:
                    kept.append(queued)
            self._set_queue(owner, kept)
        return dropped

    def _next_owner(self, running_rows: int, running_windows: Mapping[object, int]) -> object | None:
        """Whose task may run now, if anybody's."""
        owners = self._in_turn(running_windows)
        if self._is_uploads_turn():
            uploads = [owner for owner in owners if self._class_of(owner) is SchedulingClass.UPLOAD]
            ready = self._first_ready(uploads, running_rows, running_windows)
            waits_for_room = self._steps_since_task >= self._steps_between_tasks
            if ready is not None or not (waits_for_room and self._runs(SchedulingClass.UPLOAD)):
                return ready
            # the room that an upload waits for is taken by uploads, so sessions may go on
        return self._first_ready(owners, running_rows, running_windows)

    def _class_of(self, owner: object) -> SchedulingClass:
        return self._queues[owner][0].scheduling_class

    def _waits(self, scheduling_class: SchedulingClass) -> bool:
        """Whether a task of that class is queued."""
        return any(self._class_of(owner) is scheduling_class for owner in self._queues)

    def _is_uploads_turn(self) -> bool:
        """Whether sessions have had their three tasks."""
        enough = self._session_tasks >= _SESSION_TASKS_PER_UPLOAD_TASK
        return enough and self._waits(SchedulingClass.UPLOAD)

    def _in_turn(self, running_windows: Mapping[object, int]) -> list[object]:
        """Owners in the order in which their tasks may run."""
        holds_off = self._holds_live_text_off() or self._waits(SchedulingClass.UTTERANCE)
        return sorted(
            self._queues,
            key=lambda owner: (
                holds_off and self._class_of(owner) is SchedulingClass.LIVE_TEXT,
                running_windows.get(owner, 0),
            ),
        )

    def _first_ready(
        self, owners: Iterable[object], running_rows: int, running_windows: Mapping[object, int]
    ) -> object | None:
        """The first owner whose task may run now."""
        full = False
        for owner in owners:
            if self._steps_since_task < self._required_steps(owner, running_windows):
                continue
            added_rows = self._queues[owner][0].rows
            if not added_rows or (
                not full and self._has_room(owner, added_rows, running_rows, running_windows)
            ):
                return owner
            full = True  # no task with rows overtakes one that waits for room, or it would wait for ever
        return None

    def _runs(self, scheduling_class: SchedulingClass) -> bool:
        """Whether the batch has a window of that class."""
        return self._running_classes.get(scheduling_class, 0) > 0

    def _runs_live_text_alone(self) -> bool:
        return {each for each in SchedulingClass if self._runs(each)} == {SchedulingClass.LIVE_TEXT}

    def _holds_live_text_off(self) -> bool:
        """Whether an utterance runs that has joined lately."""
        joined_lately = self._steps_since_utterance < self._holdoff_steps_after_join
        return joined_lately and self._runs(SchedulingClass.UTTERANCE)

    def _required_steps(self, owner: object, running_windows: Mapping[object, int]) -> int:
        """How many steps must come between the last task and an owner's."""
        scheduling_class = self._class_of(owner)
        if not running_windows:
            return 0
        if scheduling_class is SchedulingClass.UTTERANCE and self._runs_live_text_alone():
            return 0
        is_new_request = owner not in running_windows
        if scheduling_class is SchedulingClass.LIVE_TEXT and self._holds_live_text_off():
            return self._holdoff_steps_after_join
        if is_new_request and min(running_windows.values()) > 1:
            return 1  # every running owner has more than one window: they can wait, but they do advance
        holds_off = self._steps_since_join < self._holdoff_steps_after_join and not self._is_uploads_turn()
        return (
            self._holdoff_steps_after_join if holds_off and not is_new_request else self._steps_between_tasks
        )

    def _has_room(
        self, owner: object, added_rows: int, running_rows: int, running_windows: Mapping[object, int]
    ) -> bool:
        """Whether the rows fit. A task with more rows than the batch may hold runs alone."""
        is_new_request = owner not in running_windows
        can_wait = max(running_windows.values(), default=0) > 1
        if self._class_of(owner) is SchedulingClass.UTTERANCE:
            can_wait = can_wait or self._runs(SchedulingClass.LIVE_TEXT)
        may_exceed_capacity = is_new_request and can_wait
        limit = self._max_rows if may_exceed_capacity else self.capacity
        return not running_rows or running_rows + added_rows <= limit

    def _dequeue(self, owner: object, running_windows: Mapping[object, int]) -> QueuedTask[TaskT]:
        queue = self._queues.pop(owner)
        queued = queue.popleft()
        self._set_queue(owner, queue)  # at the end: the other owners come first
        self._steps_since_task = 0
        self._count_turn(queued.scheduling_class)
        if queued.rows and queued.scheduling_class is SchedulingClass.UTTERANCE:
            self._steps_since_utterance = 0
        if queued.scheduling_class is SchedulingClass.LIVE_TEXT:
            return queued
        if queued.rows and running_windows and owner not in running_windows:
            self._steps_since_join = 0
        return queued

    def _count_turn(self, scheduling_class: SchedulingClass) -> None:
        """Count a session's task, if an upload waits meanwhile."""
        if scheduling_class is SchedulingClass.UPLOAD or not self._waits(SchedulingClass.UPLOAD):
            self._session_tasks = 0
        else:
            self._session_tasks += 1

    def _set_queue(self, owner: object, queue: deque[QueuedTask[TaskT]]) -> None:
        if queue:
            self._queues[owner] = queue
        else:
            self._queues.pop(owner, None)
