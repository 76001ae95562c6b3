"""The scheduler alone: whose turn it is, and how long anybody waits for theirs."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engines.batched.scheduler import Idle, Scheduler, Turn

PAUSE = 4
SHELTER = 32
MOST = 16


def scheduler(capacity: int = 8, pause: int = PAUSE) -> Scheduler[str]:
    return Scheduler(capacity, MOST, pause, SHELTER)


def fill(queue: Scheduler[str], *owned: tuple[str, str], rows: int = 0) -> None:
    for owner, work in owned:
        queue.add(Turn(work, owner, rows))


def decide(queue: Scheduler[str], running: int) -> Turn[str] | Idle:
    """With so many rows in the batch, each of another owner."""
    return queue.next(running, {("running", number): 1 for number in range(running)})


def next_work(queue: Scheduler[str], running: int) -> str:
    turn = decide(queue, running)
    assert isinstance(turn, Turn)
    return turn.work


def steps_until(queue: Scheduler[str], rows: int, windows: dict[object, int]) -> int:
    """How many steps come before the next turn."""
    return next(steps for steps in range(1_000) if queue.next(rows, windows) is not Idle.STEP)


def test_nothing_to_do() -> None:
    assert decide(scheduler(), 0) is Idle.WAIT
    assert decide(scheduler(), 3) is Idle.STEP


def test_owners_take_turns() -> None:
    queue = scheduler()
    fill(queue, ("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("c", "c2"))
    assert [next_work(queue, 0) for _ in range(6)] == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert queue.waiting == 0


def test_one_owners_turns_keep_their_order() -> None:
    queue = scheduler()
    fill(queue, *[("a", str(number)) for number in range(20)])
    assert [next_work(queue, 0) for _ in range(20)] == [str(number) for number in range(20)]


def test_a_short_note_waits_for_one_turn_of_a_long_meeting() -> None:
    queue = scheduler()
    fill(queue, *[("meeting", f"m{number}") for number in range(360)])
    assert next_work(queue, 0) == "m0"
    fill(queue, ("note", "n0"))
    assert [next_work(queue, 0) for _ in range(3)] == ["m1", "n0", "m2"]


@pytest.mark.parametrize("pause", [1, 4, 9])
def test_between_two_turns_running_rows_advance(pause: int) -> None:
    queue = scheduler(pause=pause)
    fill(queue, *[("a", str(number)) for number in range(5)])
    decisions = [decide(queue, 1) for _ in range(4 * (pause + 1) + 1)]
    turns = [place for place, decision in enumerate(decisions) if isinstance(decision, Turn)]
    assert turns == [number * (pause + 1) for number in range(5)]


def test_where_nothing_runs_nobody_waits() -> None:
    queue = scheduler()
    fill(queue, ("a", "1"), ("a", "2"), ("b", "3"))
    assert [next_work(queue, 0) for _ in range(3)] == ["1", "3", "2"]


def test_rows_join_up_to_the_capacity() -> None:
    queue = scheduler(capacity=8, pause=0)
    fill(queue, ("a", "a1"), ("b", "b1"), rows=4)
    assert decide(queue, 5) is Idle.STEP
    assert next_work(queue, 4) == "a1"
    assert decide(queue, 8) is Idle.STEP


def test_a_turn_without_rows_needs_no_room() -> None:
    queue = scheduler(capacity=2, pause=0)
    fill(queue, ("a", "decode"), rows=1)
    fill(queue, ("b", "align"))
    assert next_work(queue, 2) == "align"
    assert decide(queue, 2) is Idle.STEP


def test_a_turn_wider_than_the_batch_runs_alone() -> None:
    queue = scheduler(capacity=8, pause=0)
    fill(queue, ("a", "wide"), rows=12)
    assert decide(queue, 1) is Idle.STEP
    assert next_work(queue, 0) == "wide"


def test_narrow_turns_dont_starve_a_wide_one() -> None:
    queue = scheduler(capacity=8, pause=0)
    fill(queue, ("a", "wide"), rows=8)
    for number in range(20):
        fill(queue, (f"n{number}", f"n{number}"), rows=1)
    assert [decide(queue, running) for running in (3, 2, 1)] == [Idle.STEP] * 3
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


def test_each_turn_is_asked_once_whether_it_is_wanted() -> None:
    """Clients leave at any time; a turn that is kept and given back too would be ended twice."""
    queue = scheduler()
    fill(queue, ("a", "a1"))
    answers: Iterator[bool] = iter([False, True])
    assert queue.drop(lambda work: next(answers)) == []
    assert queue.waiting == 1


def meeting_of(windows: int, pause: int = PAUSE) -> Scheduler[str]:
    """A meeting has so many windows in the batch, and more to come; its last turn was just now."""
    queue = scheduler(pause=pause)
    fill(queue, ("meeting", "first"), rows=1)
    assert queue.next(windows - 1, {"meeting": windows - 1} if windows > 1 else {}) is not Idle.STEP
    fill(queue, *[("meeting", f"m{number}") for number in range(9)], rows=1)
    return queue


def test_the_owner_with_the_fewest_windows_comes_first() -> None:
    queue = scheduler(capacity=16, pause=0)
    fill(queue, ("a", "a"), ("b", "b"), ("c", "c"), ("d", "d"))
    windows = {"a": 3, "b": 1, "d": 2}
    assert [queue.next(6, windows).work for _ in range(4)] == ["c", "b", "d", "a"]


def test_a_newcomer_waits_one_step_for_those_who_have_several_windows() -> None:
    queue = meeting_of(8)
    fill(queue, ("note", "n"), rows=1)
    assert steps_until(queue, 8, {"meeting": 8}) == 1
    assert queue.waiting == 9


def test_a_newcomer_waits_longer_where_somebody_has_one_window() -> None:
    queue = meeting_of(7)
    fill(queue, ("note", "n"), rows=1)
    assert steps_until(queue, 8, {"meeting": 7, "other": 1}) == PAUSE


@pytest.mark.parametrize(("rows", "joins"), [(8, True), (15, True), (16, False)])
def test_newcomers_have_room_above_the_capacity(rows: int, joins: bool) -> None:
    queue = scheduler()
    fill(queue, ("note", "n"), rows=1)
    assert (queue.next(rows, {"meeting": rows}) is not Idle.STEP) is joins


def test_there_is_no_room_above_the_capacity_where_nobody_has_more() -> None:
    queue = scheduler()
    fill(queue, ("note", "n"), rows=1)
    assert decide(queue, 8) is Idle.STEP
    assert queue.next(8, {"beams": 1}) is Idle.STEP


def test_a_batch_that_shrinks_has_no_room_above() -> None:
    queue = scheduler()
    queue.shrink()
    fill(queue, ("note", "n"), rows=1)
    assert queue.capacity == 4
    assert queue.next(4, {"meeting": 4}) is Idle.STEP
    assert queue.next(3, {"meeting": 3}) is not Idle.STEP


def test_who_has_windows_gets_no_more_while_a_newcomer_is_sheltered() -> None:
    queue = meeting_of(5)
    fill(queue, ("note", "n"), rows=1)
    assert steps_until(queue, 5, {"meeting": 5}) == 1
    assert steps_until(queue, 6, {"meeting": 5, "note": 1}) == SHELTER
    assert steps_until(queue, 7, {"meeting": 6, "note": 1}) == PAUSE


def test_a_meeting_keeps_one_window_beside_newcomers() -> None:
    queue = meeting_of(2)
    fill(queue, ("note", "n"), rows=1)
    assert steps_until(queue, 2, {"meeting": 2}) == 1
    assert steps_until(queue, 1, {"note": 1}) == PAUSE


def test_nobody_is_held_up_by_windows_of_their_own() -> None:
    queue = meeting_of(1)
    for windows in range(1, 8):
        assert steps_until(queue, windows, {"meeting": windows}) == PAUSE


@pytest.mark.parametrize("rows", [0, 1])
def test_an_endless_stream_of_newcomers_starves_nobody(rows: int) -> None:
    """One comes whenever the one before has had its turn: the meeting loses what it has more than others."""
    queue = meeting_of(8)
    running = [["meeting", 40 + number] for number in range(8)]
    for number in range(2_000):
        if queue.waiting < 10:
            fill(queue, (f"note{number}", "n"), rows=rows)
        turn = queue.next(len(running), Counter(who for who, _ in running))
        if isinstance(turn, Turn) and turn.owner == "meeting":
            return
        if isinstance(turn, Turn):
            running += [[turn.owner, 20]] * turn.rows
        running = [[who, left - (turn is Idle.STEP)] for who, left in running if left > 1]
    pytest.fail("the meeting never had its turn")


@given(
    turns=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), max_size=40),
    arrivals=st.lists(st.integers(0, 5), min_size=1, max_size=10).filter(any),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=10),
    unwanted=st.sets(st.integers(0, 39), max_size=10),
)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_no_turn_is_lost_or_comes_twice(
    turns: list[tuple[int, int]], arrivals: list[int], lengths: list[int], unwanted: set[int]
) -> None:
    queue: Scheduler[int] = Scheduler(capacity=8, most=12, pause=3, shelter=9)
    coming = list(enumerate(turns))
    done: list[int] = []
    order: dict[int, list[int]] = {}
    running: list[tuple[int, int, int]] = []  # window, owner, steps left, of each row
    for decision in range(3_000):
        if len(done) == len(turns):
            break
        for _ in range(arrivals[decision % len(arrivals)]):
            if coming:
                number, (owner, rows) = coming.pop(0)
                queue.add(Turn(number, owner, rows))
        done += queue.drop(lambda number, now=decision: number in unwanted and number % 3 == now % 3)
        windows = Counter(owner for _, owner in {(window, owner) for window, owner, _ in running})
        turn = queue.next(len(running), windows)
        if isinstance(turn, Turn):
            assert not turn.rows or not running or len(running) + turn.rows <= 12
            done.append(turn.work)
            order.setdefault(turn.owner, []).append(turn.work)
            running += [(turn.work, turn.owner, lengths[turn.work % len(lengths)])] * turn.rows
        elif turn is Idle.STEP:
            assert running
            running = [(window, owner, left - 1) for window, owner, left in running if left > 1]
        else:
            assert not queue.waiting
            assert not running
    assert sorted(done) == list(range(len(turns)))
    assert all(numbers == sorted(numbers) for numbers in order.values())
