"""The scheduler alone: whose turn it is, and how long anybody waits for theirs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engines.batched.scheduler import Idle, Scheduler, Turn

PAUSE = 4


def scheduler(capacity: int = 8, pause: int = PAUSE) -> Scheduler[str]:
    return Scheduler(capacity, pause)


def fill(queue: Scheduler[str], *owned: tuple[str, str], rows: int = 0) -> None:
    for owner, work in owned:
        queue.add(Turn(work, owner, rows))


def next_work(queue: Scheduler[str], running: int) -> str:
    turn = queue.next(running)
    assert isinstance(turn, Turn)
    return turn.work


def test_nothing_to_do() -> None:
    assert scheduler().next(0) is Idle.WAIT
    assert scheduler().next(3) is Idle.STEP


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
    decisions = [queue.next(1) for _ in range(4 * (pause + 1) + 1)]
    turns = [place for place, decision in enumerate(decisions) if isinstance(decision, Turn)]
    assert turns == [number * (pause + 1) for number in range(5)]


def test_where_nothing_runs_nobody_waits() -> None:
    queue = scheduler()
    fill(queue, ("a", "1"), ("a", "2"), ("b", "3"))
    assert [next_work(queue, 0) for _ in range(3)] == ["1", "3", "2"]


def test_rows_join_up_to_the_capacity() -> None:
    queue = scheduler(capacity=8, pause=0)
    fill(queue, ("a", "a1"), ("b", "b1"), rows=4)
    assert queue.next(5) is Idle.STEP
    assert next_work(queue, 4) == "a1"
    assert queue.next(8) is Idle.STEP


def test_a_turn_without_rows_needs_no_room() -> None:
    queue = scheduler(capacity=2, pause=0)
    fill(queue, ("a", "decode"), rows=1)
    fill(queue, ("b", "align"))
    assert next_work(queue, 2) == "align"
    assert queue.next(2) is Idle.STEP


def test_a_turn_wider_than_the_batch_runs_alone() -> None:
    queue = scheduler(capacity=8, pause=0)
    fill(queue, ("a", "wide"), rows=12)
    assert queue.next(1) is Idle.STEP
    assert next_work(queue, 0) == "wide"


def test_narrow_turns_dont_starve_a_wide_one() -> None:
    queue = scheduler(capacity=8, pause=0)
    fill(queue, ("a", "wide"), rows=8)
    for number in range(20):
        fill(queue, (f"n{number}", f"n{number}"), rows=1)
    assert [queue.next(running) for running in (3, 2, 1)] == [Idle.STEP] * 3
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


@dataclass
class Load:
    """A simulated engine. Times are in steps of one running row, as measured for `base` dimensions."""

    queue: Scheduler[tuple[str, int]]
    running: list[list]  # [who, steps left] of each row
    clock: float = 0.0

    ENCODE = 90.0
    STEP = (0.0, 1.0, 1.4, 1.6, 1.7, 2.2, 2.6, 3.0, 3.4)
    """By rows."""

    def advance(self) -> str | None:
        """One decision: whose encode came, if one did."""
        turn = self.queue.next(len(self.running))
        if isinstance(turn, Turn):
            who, length = turn.work
            self.clock += self.ENCODE
            self.running.append([who, length])
            return who
        self.clock += self.STEP[len(self.running)]
        for row in self.running:
            row[1] -= 1
        self.running = [row for row in self.running if row[1]]
        return None

    def answer(self, who: str) -> Counter[str]:
        """Go on until the last row of `who` is done: how often who had a turn, and the steps."""
        seen: Counter[str] = Counter()
        while not seen[who] or any(row[0] == who for row in self.running):
            seen[self.advance() or "steps"] += 1
        return seen


@pytest.mark.parametrize("elapsed", range(0, 240, 7))
def test_a_note_is_answered_within_twice_its_time_alone_plus_an_encode(elapsed: int) -> None:
    """An hour is transcribed window after window when a 5 s note arrives, at whatever moment."""
    note = ("note", 20)
    alone = Load(scheduler(), [])
    alone.queue.add(Turn(note, "note", 1))
    alone.answer("note")

    load = Load(scheduler(), [])
    for _ in range(elapsed):
        keep_reading(load)
        load.advance()
    arrived = load.clock
    keep_reading(load)
    load.queue.add(Turn(note, "note", 1))
    seen = load.answer("note")
    assert seen["meeting"] <= 1
    assert seen["steps"] <= note[1] + 2 * PAUSE
    assert load.clock - arrived <= 2 * alone.clock + Load.ENCODE


def keep_reading(load: Load) -> None:
    """A meeting's next window comes when the one before is done."""
    if not load.running and not load.queue.waiting:
        load.queue.add(Turn(("meeting", 100), "meeting", 1))


@pytest.mark.parametrize("elapsed", range(0, 400, 13))
def test_a_note_gets_the_second_free_row_of_a_full_batch(elapsed: int) -> None:
    """All windows of an hour are queued at once (`chunking_strategy`), and fill the batch."""
    load = Load(scheduler(), [])
    for _ in range(120):
        load.queue.add(Turn(("meeting", 100), "meeting", 1))
    for _ in range(elapsed):
        load.advance()
    load.queue.add(Turn(("note", 20), "note", 1))
    encodes, steps = 0, 0
    while (who := load.advance()) != "note":
        encodes += who == "meeting"
        steps += who is None
    assert encodes <= 1
    assert steps <= 100 + PAUSE


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
    queue: Scheduler[int] = Scheduler(capacity=8, steps_between_turns=3)
    coming = list(enumerate(turns))
    done: list[int] = []
    order: dict[int, list[int]] = {}
    running: list[int] = []
    for decision in range(3_000):
        if len(done) == len(turns):
            break
        for _ in range(arrivals[decision % len(arrivals)]):
            if coming:
                number, (owner, rows) = coming.pop(0)
                queue.add(Turn(number, owner, rows))
        done += queue.drop(lambda number, now=decision: number in unwanted and number % 3 == now % 3)
        turn = queue.next(len(running))
        if isinstance(turn, Turn):
            assert not turn.rows or not running or len(running) + turn.rows <= 8
            done.append(turn.work)
            order.setdefault(turn.owner, []).append(turn.work)
            running += [lengths[turn.work % len(lengths)]] * turn.rows
        elif turn is Idle.STEP:
            assert running
            running = [left - 1 for left in running if left > 1]
        else:
            assert not queue.waiting
            assert not running
    assert sorted(done) == list(range(len(turns)))
    assert all(numbers == sorted(numbers) for numbers in order.values())
