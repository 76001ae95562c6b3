"""How realtime sessions and uploads share the engine: which task runs next, by scripted tasks."""

from collections import Counter
from dataclasses import dataclass, field

import pytest

from app.engines.batched.scheduler import Action, QueuedTask, Scheduler
from app.scheduling import SchedulingClass

UPLOAD, UTTERANCE, LIVE_TEXT = SchedulingClass
SESSIONS = (UTTERANCE, LIVE_TEXT)
CAPACITY = 8
STEPS_BETWEEN_TASKS = 4
HOLDOFF_STEPS_AFTER_JOIN = 32


def scheduler(capacity: int = CAPACITY) -> Scheduler[str]:
    return Scheduler(capacity, 16, STEPS_BETWEEN_TASKS, HOLDOFF_STEPS_AFTER_JOIN)


def add(queue: Scheduler[str], scheduling_class: SchedulingClass, *tasks: str, rows: int = 0) -> None:
    """Tasks of as many owners."""
    for task in tasks:
        queue.add(QueuedTask(task, task, rows, scheduling_class))


def order(queue: Scheduler[str]) -> list[str]:
    """All tasks in the order in which they run where the batch is empty."""
    found = []
    while isinstance(queued := queue.next(0, {}), QueuedTask):
        found.append(queued.task)
    return found


@dataclass
class Server:
    """Runs tasks and steps. Rows last for `session_steps` and `upload_steps`.

    Each session has another recording as soon as the one before is done, with the four tasks of an update:
    features, a language, a decode, and the times of its words. An upload has another window at once, and
    decodes `at_a_time` of them side by side.
    """

    uploads: int
    sessions: int
    at_a_time: int = 1
    scheduling_class: SchedulingClass = LIVE_TEXT
    session_steps: int = 12
    upload_steps: int = 60
    queue: Scheduler[str] = field(default_factory=scheduler)
    running: list[tuple[str, SchedulingClass, int]] = field(default_factory=list)
    served: list[SchedulingClass] = field(default_factory=list)
    waited_upload: list[bool] = field(default_factory=list)
    most_running: dict[SchedulingClass, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number in range(self.uploads):
            for _ in range(self.at_a_time):
                self._ask(f"upload {number}", UPLOAD, 1)
        for number in range(self.sessions):
            self._ask(f"session {number}.0.0", self.scheduling_class, 0)

    def run(self, decisions: int) -> "Server":
        for _ in range(decisions):
            windows: Counter[object] = Counter(owner for owner, *_ in self.running)
            classes = Counter(each for _, each, _ in self.running)
            upload_waits = self.queue._waits(UPLOAD)
            found = self.queue.next(len(self.running), windows, classes)
            if isinstance(found, QueuedTask):
                self.served.append(found.scheduling_class)
                self.waited_upload.append(upload_waits)
                self._start(found)
            elif found is Action.STEP:
                self._step()
            for each in SchedulingClass:
                count = sum(running is each for _, running, _ in self.running)
                self.most_running[each] = max(count, self.most_running.get(each, 0))
        return self

    def _ask(self, owner: str, scheduling_class: SchedulingClass, rows: int) -> None:
        self.queue.add(QueuedTask(owner, owner, rows, scheduling_class))

    def _start(self, found: QueuedTask[str]) -> None:
        if found.scheduling_class is UPLOAD:
            self.running.append((found.task, UPLOAD, self.upload_steps))
            return
        session, update, part = found.task.split(".")
        if part == "2":
            self.running.append((found.task, found.scheduling_class, self.session_steps))
        elif part == "3":
            self._ask(f"{session}.{int(update) + 1}.0", found.scheduling_class, 0)
        else:
            self._ask_next(found.task, found.scheduling_class)

    def _ask_next(self, task: str, scheduling_class: SchedulingClass) -> None:
        session, update, part = task.split(".")
        self._ask(f"{session}.{update}.{int(part) + 1}", scheduling_class, int(part == "1"))

    def _step(self) -> None:
        ended = [(owner, each) for owner, each, left in self.running if left == 1]
        self.running = [(owner, each, left - 1) for owner, each, left in self.running if left > 1]
        for owner, each in ended:
            if each is UPLOAD:
                self._ask(owner, UPLOAD, 1)
            else:
                self._ask_next(owner, each)


def longest_run_beside_a_waiting_upload(server: Server) -> int:
    """The most tasks of sessions one after the other, while an upload waited all the time."""
    longest = run = 0
    for served, waited in zip(server.served, server.waited_upload, strict=True):
        run = run + 1 if served is not UPLOAD and waited else 0
        longest = max(longest, run)
    return longest


@pytest.mark.parametrize("scheduling_class", SESSIONS)
def test_of_four_tasks_a_waiting_upload_has_one(scheduling_class: SchedulingClass) -> None:
    queue = scheduler()
    add(queue, scheduling_class, *[f"s{number}" for number in range(9)])
    add(queue, UPLOAD, "u0", "u1", "u2")
    assert order(queue) == ["s0", "s1", "s2", "u0", "s3", "s4", "s5", "u1", "s6", "s7", "s8", "u2"]


def test_an_upload_that_comes_later_waits_for_three_tasks_at_most() -> None:
    queue = scheduler()
    add(queue, LIVE_TEXT, *[f"s{number}" for number in range(99)])
    alone = [queue.next(0, {}).task for _ in range(20)]
    add(queue, UPLOAD, "u")
    assert alone == [f"s{number}" for number in range(20)]
    assert [queue.next(0, {}).task for _ in range(4)] == ["s20", "s21", "s22", "u"]


def test_sessions_among_themselves_take_turns() -> None:
    queue = scheduler()
    for task in ("a0", "a1", "b0", "c0"):
        queue.add(QueuedTask(task, task[0], 0, LIVE_TEXT))
    assert order(queue) == ["a0", "b0", "c0", "a1"]


@pytest.mark.parametrize("sessions", [1, 4, 16])
@pytest.mark.parametrize("at_a_time", [1, 4])
@pytest.mark.parametrize("scheduling_class", SESSIONS)
def test_an_upload_beside_any_number_of_sessions(
    sessions: int, at_a_time: int, scheduling_class: SchedulingClass
) -> None:
    server = Server(1, sessions, at_a_time, scheduling_class).run(6_000)
    assert longest_run_beside_a_waiting_upload(server) <= 3
    assert server.most_running[UPLOAD] == at_a_time
    assert server.served.count(scheduling_class) > 4 * sessions  # and each of them goes on


@pytest.mark.parametrize("uploads", [1, 3, 24])
def test_sessions_go_on_beside_any_number_of_uploads(uploads: int) -> None:
    server = Server(uploads, 4).run(6_000)
    assert server.served.count(LIVE_TEXT) > len(server.served) / 3


def test_a_meeting_that_fills_the_batch_holds_no_session_up() -> None:
    """It waits for its own rows, while a session's have room above the capacity."""
    server = Server(1, 2, at_a_time=30, scheduling_class=UTTERANCE, upload_steps=600).run(8_000)
    assert server.most_running[UPLOAD] >= CAPACITY
    assert server.most_running[UTTERANCE] == 2
    assert server.served.count(UTTERANCE) > server.served.count(UPLOAD)


def test_sessions_that_fill_the_batch_leave_room_for_an_upload() -> None:
    queue = scheduler(capacity=2)
    add(queue, LIVE_TEXT, "s0", "s1", "s2", "s3", "s4")
    add(queue, UPLOAD, "u", rows=1)
    assert [queue.next(0, {}).task for _ in range(3)] == ["s0", "s1", "s2"]
    full: dict[object, int] = {"a": 1, "b": 1}
    for _ in range(100):
        assert queue.next(2, full, {LIVE_TEXT: 2}) is Action.STEP
    assert queue.next(1, {"a": 1}, {LIVE_TEXT: 1}).task == "u"


def test_whose_utterance_is_over_comes_before_text_of_others() -> None:
    queue = scheduler()
    add(queue, LIVE_TEXT, "l0", "l1")
    add(queue, UTTERANCE, "over")
    assert order(queue) == ["over", "l0", "l1"]


def test_text_so_far_joins_no_utterance_that_is_being_transcribed() -> None:
    """Its encode would hold that up; after a sentence or two it goes on."""
    queue = scheduler()
    add(queue, UTTERANCE, "over", rows=1)
    assert queue.next(0, {}).task == "over"
    add(queue, LIVE_TEXT, "live")
    running: dict[object, int] = {"over": 1}
    steps = next(steps for steps in range(1_000) if queue.next(1, running, {UTTERANCE: 1}) is not Action.STEP)
    assert steps == HOLDOFF_STEPS_AFTER_JOIN


def test_it_joins_as_soon_as_that_is_transcribed() -> None:
    queue = scheduler()
    add(queue, UTTERANCE, "over", rows=1)
    assert queue.next(1, {"live": 1}, {LIVE_TEXT: 1}).task == "over"
    add(queue, LIVE_TEXT, "more")
    running: dict[object, int] = {"live": 1, "over": 1}
    for _ in range(10):
        assert queue.next(2, running, {LIVE_TEXT: 1, UTTERANCE: 1}) is Action.STEP
    assert queue.next(1, {"live": 1}, {LIVE_TEXT: 1}).task == "more"


def test_whose_utterance_is_over_waits_for_no_step_of_text_so_far() -> None:
    queue = scheduler()
    add(queue, LIVE_TEXT, "live", rows=1)
    assert queue.next(0, {}).task == "live"
    add(queue, UTTERANCE, "features", "over")
    assert [queue.next(1, {"live": 1}, {LIVE_TEXT: 1}).task for _ in range(2)] == ["features", "over"]


def test_it_has_room_above_the_capacity_where_text_so_far_fills_it() -> None:
    queue = scheduler()
    full: dict[object, int] = {f"live {number}": 1 for number in range(CAPACITY)}
    add(queue, LIVE_TEXT, "more", rows=1)
    assert queue.next(CAPACITY, full, {LIVE_TEXT: CAPACITY}) is Action.STEP
    add(queue, UTTERANCE, "over", rows=1)
    assert queue.next(CAPACITY, full, {LIVE_TEXT: CAPACITY}).task == "over"


def test_it_waits_for_steps_of_a_meeting() -> None:
    queue = scheduler()
    add(queue, LIVE_TEXT, "live", rows=1)
    assert queue.next(1, {"meeting": 1}, {UPLOAD: 1}).task == "live"
    add(queue, UTTERANCE, "over")
    running: dict[object, int] = {"meeting": 1, "live": 1}
    assert queue.next(2, running, {UPLOAD: 1, LIVE_TEXT: 1}) is Action.STEP


def test_text_so_far_waits_for_no_utterance_that_has_been_answered() -> None:
    queue = scheduler()
    add(queue, UTTERANCE, "over", rows=1)
    assert queue.next(0, {}).task == "over"
    add(queue, LIVE_TEXT, "live")
    assert queue.next(0, {}).task == "live"


def test_another_utterance_joins_as_any_request() -> None:
    queue = scheduler()
    add(queue, UTTERANCE, "first", rows=1)
    queue.next(0, {})
    add(queue, UTTERANCE, "second", rows=1)
    running: dict[object, int] = {"first": 1}
    steps = next(steps for steps in range(1_000) if queue.next(1, running, {UTTERANCE: 1}) is not Action.STEP)
    assert steps == STEPS_BETWEEN_TASKS


@pytest.mark.parametrize(("joins", "steps"), [(LIVE_TEXT, 4), (UTTERANCE, 32)])
def test_a_meeting_makes_room_for_what_is_over_not_for_text_so_far(
    joins: SchedulingClass, steps: int
) -> None:
    queue = scheduler()
    add(queue, joins, "session", rows=1)
    assert queue.next(2, {"meeting": 2}, {UPLOAD: 2}).task == "session"
    queue.add(QueuedTask("m", "meeting", 1))
    running: dict[object, int] = {"meeting": 2, "session": 1}
    waited = next(
        count for count in range(1_000) if queue.next(3, running, {UPLOAD: 2, joins: 1}) is not Action.STEP
    )
    assert waited == steps
