"""The scheduler alone: which task runs next, and how long anybody waits."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engines.batched.scheduler import Action, QueuedTask, Scheduler

STEPS_BETWEEN_TASKS = 4
HOLDOFF_STEPS_AFTER_JOIN = 32
MAX_ROWS = 16


def scheduler(capacity: int = 8, steps_between_tasks: int = STEPS_BETWEEN_TASKS) -> Scheduler[str]:
    return Scheduler(capacity, MAX_ROWS, steps_between_tasks, HOLDOFF_STEPS_AFTER_JOIN)


def fill(queue: Scheduler[str], *owned: tuple[str, str], rows: int = 0) -> None:
    for owner, work in owned:
        queue.add(QueuedTask(work, owner, rows))


def decide(queue: Scheduler[str], running: int) -> QueuedTask[str] | Action:
    """With so many rows in the batch, each of another owner."""
    return queue.next(running, {("running", number): 1 for number in range(running)})


def next_work(queue: Scheduler[str], running: int) -> str:
    queued = decide(queue, running)
    assert isinstance(queued, QueuedTask)
    return queued.task


def steps_until(queue: Scheduler[str], rows: int, windows: dict[object, int]) -> int:
    """How many steps come before the next task."""
    return next(steps for steps in range(1_000) if queue.next(rows, windows) is not Action.STEP)


def test_nothing_to_do() -> None:
    assert decide(scheduler(), 0) is Action.WAIT
    assert decide(scheduler(), 3) is Action.STEP


def test_owners_take_turns() -> None:
    queue = scheduler()
    fill(queue, ("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("c", "c2"))
    assert [next_work(queue, 0) for _ in range(6)] == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert queue.waiting == 0


def test_one_owners_tasks_keep_their_order() -> None:
    queue = scheduler()
    fill(queue, *[("a", str(number)) for number in range(20)])
    assert [next_work(queue, 0) for _ in range(20)] == [str(number) for number in range(20)]


def test_a_short_note_waits_for_one_task_of_a_long_meeting() -> None:
    queue = scheduler()
    fill(queue, *[("meeting", f"m{number}") for number in range(360)])
    assert next_work(queue, 0) == "m0"
    fill(queue, ("note", "n0"))
    assert [next_work(queue, 0) for _ in range(3)] == ["m1", "n0", "m2"]


@pytest.mark.parametrize("steps", [1, 4, 9])
def test_between_two_tasks_running_rows_advance(steps: int) -> None:
    queue = scheduler(steps_between_tasks=steps)
    fill(queue, *[("a", str(number)) for number in range(5)])
    decisions = [decide(queue, 1) for _ in range(4 * (steps + 1) + 1)]
    places = [place for place, decision in enumerate(decisions) if isinstance(decision, QueuedTask)]
    assert places == [number * (steps + 1) for number in range(5)]


def test_where_nothing_runs_nobody_waits() -> None:
    queue = scheduler()
    fill(queue, ("a", "1"), ("a", "2"), ("b", "3"))
    assert [next_work(queue, 0) for _ in range(3)] == ["1", "3", "2"]


def test_rows_join_up_to_the_capacity() -> None:
    queue = scheduler(capacity=8, steps_between_tasks=0)
    fill(queue, ("a", "a1"), ("b", "b1"), rows=4)
    assert decide(queue, 5) is Action.STEP
    assert next_work(queue, 4) == "a1"
    assert decide(queue, 8) is Action.STEP


def test_a_task_without_rows_needs_no_room() -> None:
    queue = scheduler(capacity=2, steps_between_tasks=0)
    fill(queue, ("a", "decode"), rows=1)
    fill(queue, ("b", "align"))
    assert next_work(queue, 2) == "align"
    assert decide(queue, 2) is Action.STEP


def test_a_task_wider_than_the_batch_runs_alone() -> None:
    queue = scheduler(capacity=8, steps_between_tasks=0)
    fill(queue, ("a", "wide"), rows=12)
    assert decide(queue, 1) is Action.STEP
    assert next_work(queue, 0) == "wide"


def test_narrow_tasks_dont_starve_a_wide_one() -> None:
    queue = scheduler(capacity=8, steps_between_tasks=0)
    fill(queue, ("a", "wide"), rows=8)
    for number in range(20):
        fill(queue, (f"n{number}", f"n{number}"), rows=1)
    assert [decide(queue, running) for running in (3, 2, 1)] == [Action.STEP] * 3
    assert next_work(queue, 0) == "wide"


def test_what_nobody_wants_is_dropped() -> None:
    queue = scheduler()
    fill(queue, ("a", "a1"), ("b", "b1"), ("b", "b2"), ("c", "c1"))
    assert queue.drop(lambda work: work in ("a1", "b1")) == ["a1", "b1"]
    assert queue.waiting == 2
    assert [next_work(queue, 0) for _ in range(2)] == ["b2", "c1"]


def test_dropping_keeps_everybodys_place() -> None:
    queue = scheduler()
    fill(queue, ("a", "a1"), ("a", "a2"), ("b", "b1"))
    queue.drop(lambda work: work == "a1")
    assert next_work(queue, 0) == "a2"


def test_each_task_is_asked_once_whether_it_is_wanted() -> None:
    """Clients leave at any time; a task that is kept and given back too would be ended twice."""
    queue = scheduler()
    fill(queue, ("a", "a1"))
    answers: Iterator[bool] = iter([False, True])
    assert queue.drop(lambda work: next(answers)) == []
    assert queue.waiting == 1


def meeting_of(windows: int, steps: int = STEPS_BETWEEN_TASKS) -> Scheduler[str]:
    """A meeting has so many windows in the batch, and more to come; its last task was just now."""
    queue = scheduler(steps_between_tasks=steps)
    fill(queue, ("meeting", "first"), rows=1)
    assert queue.next(windows - 1, {"meeting": windows - 1} if windows > 1 else {}) is not Action.STEP
    fill(queue, *[("meeting", f"m{number}") for number in range(9)], rows=1)
    return queue


def test_the_owner_with_the_fewest_windows_comes_first() -> None:
    queue = scheduler(capacity=16, steps_between_tasks=0)
    fill(queue, ("a", "a"), ("b", "b"), ("c", "c"), ("d", "d"))
    windows = {"a": 3, "b": 1, "d": 2}
    assert [queue.next(6, windows).task for _ in range(4)] == ["c", "b", "d", "a"]


def test_a_new_request_waits_one_step_for_those_who_have_several_windows() -> None:
    queue = meeting_of(8)
    fill(queue, ("note", "n"), rows=1)
    assert steps_until(queue, 8, {"meeting": 8}) == 1
    assert queue.waiting == 9


def test_a_new_request_waits_longer_where_somebody_has_one_window() -> None:
    queue = meeting_of(7)
    fill(queue, ("note", "n"), rows=1)
    assert steps_until(queue, 8, {"meeting": 7, "other": 1}) == STEPS_BETWEEN_TASKS


@pytest.mark.parametrize(("rows", "joins"), [(8, True), (15, True), (16, False)])
def test_new_requests_have_room_above_the_capacity(rows: int, joins: bool) -> None:
    queue = scheduler()
    fill(queue, ("note", "n"), rows=1)
    assert (queue.next(rows, {"meeting": rows}) is not Action.STEP) is joins


def test_there_is_no_room_above_the_capacity_where_nobody_has_more() -> None:
    queue = scheduler()
    fill(queue, ("note", "n"), rows=1)
    assert decide(queue, 8) is Action.STEP
    assert queue.next(8, {"beams": 1}) is Action.STEP


def test_a_batch_that_shrinks_has_no_room_above() -> None:
    queue = scheduler()
    queue.shrink()
    fill(queue, ("note", "n"), rows=1)
    assert queue.capacity == 4
    assert queue.next(4, {"meeting": 4}) is Action.STEP
    assert queue.next(3, {"meeting": 3}) is not Action.STEP


def test_who_has_windows_gets_no_more_soon_after_a_new_request_has_joined() -> None:
    queue = meeting_of(5)
    fill(queue, ("note", "n"), rows=1)
    assert steps_until(queue, 5, {"meeting": 5}) == 1
    assert steps_until(queue, 6, {"meeting": 5, "note": 1}) == HOLDOFF_STEPS_AFTER_JOIN
    assert steps_until(queue, 7, {"meeting": 6, "note": 1}) == STEPS_BETWEEN_TASKS


def test_a_meeting_keeps_one_window_beside_new_requests() -> None:
    queue = meeting_of(2)
    fill(queue, ("note", "n"), rows=1)
    assert steps_until(queue, 2, {"meeting": 2}) == 1
    assert steps_until(queue, 1, {"note": 1}) == STEPS_BETWEEN_TASKS


def test_nobody_is_held_up_by_windows_of_their_own() -> None:
    queue = meeting_of(1)
    for windows in range(1, 8):
        assert steps_until(queue, windows, {"meeting": windows}) == STEPS_BETWEEN_TASKS


@pytest.mark.parametrize("rows", [0, 1])
def test_an_endless_stream_of_new_requests_starves_nobody(rows: int) -> None:
    """One comes whenever the one before has had its turn: the meeting loses what it has more than others."""
    queue = meeting_of(8)
    running = [["meeting", 40 + number] for number in range(8)]
    for number in range(2_000):
        if queue.waiting < 10:
            fill(queue, (f"note{number}", "n"), rows=rows)
        queued = queue.next(len(running), Counter(who for who, _ in running))
        if isinstance(queued, QueuedTask) and queued.owner == "meeting":
            return
        if isinstance(queued, QueuedTask):
            running += [[queued.owner, 20]] * queued.rows
        running = [[who, left - (queued is Action.STEP)] for who, left in running if left > 1]
    pytest.fail("the meeting never had its turn")


@given(
    tasks=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), max_size=40),
    arrivals=st.lists(st.integers(0, 5), min_size=1, max_size=10).filter(any),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=10),
    unwanted=st.sets(st.integers(0, 39), max_size=10),
)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_no_task_is_lost_or_comes_twice(
    tasks: list[tuple[int, int]], arrivals: list[int], lengths: list[int], unwanted: set[int]
) -> None:
    queue: Scheduler[int] = Scheduler(
        capacity=8, max_rows=12, steps_between_tasks=3, holdoff_steps_after_join=9
    )
    coming = list(enumerate(tasks))
    done: list[int] = []
    order: dict[int, list[int]] = {}
    running: list[tuple[int, int, int]] = []  # window, owner, steps left, of each row
    for decision in range(3_000):
        if len(done) == len(tasks):
            break
        for _ in range(arrivals[decision % len(arrivals)]):
            if coming:
                number, (owner, rows) = coming.pop(0)
                queue.add(QueuedTask(number, owner, rows))
        done += queue.drop(lambda number, now=decision: number in unwanted and number % 3 == now % 3)
        windows = Counter(owner for _, owner in {(window, owner) for window, owner, _ in running})
        queued = queue.next(len(running), windows)
        if isinstance(queued, QueuedTask):
            assert not queued.rows or not running or len(running) + queued.rows <= 12
            done.append(queued.task)
            order.setdefault(queued.owner, []).append(queued.task)
            running += [(queued.task, queued.owner, lengths[queued.task % len(lengths)])] * queued.rows
        elif queued is Action.STEP:
            assert running
            running = [(window, owner, left - 1) for window, owner, left in running if left > 1]
        else:
            assert not queue.waiting
            assert not running
    assert sorted(done) == list(range(len(tasks)))
    assert all(numbers == sorted(numbers) for numbers in order.values())
