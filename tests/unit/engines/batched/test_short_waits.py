"""How long a note of 5 s waits while an hour is transcribed, in a simulated engine that counts steps.

The promise: at most twice its time alone, and one encode.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import pytest

from app.engines.batched.engine import _HOLDOFF_STEPS_AFTER_JOIN, _MAX_ROWS, _STEPS_BETWEEN_TASKS
from app.engines.batched.scheduler import Action, QueuedTask, Scheduler

CAPACITY = 8
NOTE_TOKENS = (15, 20, 30)
"""What is said in 5 s, slowly or fast, with timestamps and the end."""


class Costs(NamedTuple):
    """In steps of one running row: an encode with its keys and values, and a step by its rows from 1 on.

    As measured: decoder and encoder alone, one thread, medians of seven rounds, random weights.
    """

    encode: float
    step: tuple[float, ...]
    features: float = 1.5
    """Each of the two tasks that make the log-mel of 5 s."""


_TINY = (1.0, 1.47, 1.49, 1.88, 2.13, 2.7, 2.92, 3.36, 3.65, 4.03)
_TINY_INT8 = (1.0, 1.21, 1.35, 1.55, 1.81, 2.0, 2.2, 2.41, 2.63, 2.82)
_BASE = (1.0, 1.36, 1.8, 2.28, 2.76, 3.3, 3.76, 4.3, 4.84, 5.3)
_BASE_INT8 = (1.0, 1.19, 1.39, 1.81, 1.86, 2.15, 2.4, 2.74, 3.89, 4.1)
MEASURED = {
    "tiny exact": Costs(86, _TINY),
    "tiny int8": Costs(84, _TINY_INT8),
    "base exact": Costs(138, _BASE),
    "base int8": Costs(124, _BASE_INT8),
}

Work = tuple[str, int]
"""Who, and how many tokens a window says; 0 for a task that makes features."""

NOTE = "note"
MEETING = "meeting"


@dataclass
class Engine:
    """Runs tasks and steps as the scheduler says. `clock` is in steps of one row."""

    costs: Costs
    queue: Scheduler[Work] = field(
        default_factory=lambda: Scheduler(
            CAPACITY, _MAX_ROWS, _STEPS_BETWEEN_TASKS, _HOLDOFF_STEPS_AFTER_JOIN
        )
    )
    running: list[list] = field(default_factory=list)  # [who, tokens left] of each row
    coming: dict[str, deque[int]] = field(default_factory=dict)
    clock: float = 0.0

    def come(self, who: str, *tokens: int, at_once: bool = False) -> None:
        """A request whose windows come one after the other, or all at once."""
        self.coming[who] = deque() if at_once else deque(tokens[1:])
        for window in tokens if at_once else tokens[:1]:
            self.queue.add(QueuedTask((who, window), who, int(window > 0)))

    def advance(self) -> str:
        """One decision: whose task ran, or "step"."""
        queued = self.queue.next(len(self.running), Counter(who for who, _ in self.running))
        if isinstance(queued, QueuedTask):
            who, tokens = queued.task
            self.clock += self.costs.encode if tokens else self.costs.features
            if tokens:
                self.running.append([who, tokens])
            else:
                self._go_on(who)
            return who
        assert queued is Action.STEP
        self._step()
        return "step"

    def _step(self) -> None:
        self.clock += self.costs.step[len(self.running) - 1]
        for row in self.running:
            row[1] -= 1
        for who, left in self.running:
            if not left:
                self._go_on(who)
        self.running = [row for row in self.running if row[1]]

    def _go_on(self, who: str) -> None:
        if self.coming[who]:
            window = self.coming[who].popleft()
            self.queue.add(QueuedTask((who, window), who, int(window > 0)))

    def answer(self, who: str) -> Counter[str]:
        """Go on until `who` has nothing left: how many tasks each ran, and the steps."""
        seen: Counter[str] = Counter()
        while self.coming[who] or seen[who] < 3 or any(row[0] == who for row in self.running):
            seen[self.advance()] += 1
        return seen


def alone(costs: Costs, tokens: int) -> float:
    engine = Engine(costs)
    engine.come(NOTE, 0, 0, tokens)
    engine.answer(NOTE)
    return engine.clock


def waited(costs: Costs, tokens: int, arrival: float, chunked: bool) -> tuple[float, Counter[str]]:
    """How long a note takes that arrives at some time, maybe amid an encode, and what happened meanwhile."""
    engine = Engine(costs)
    engine.come(MEETING, *(60 + 37 * number % 81 for number in range(120)), at_once=chunked)
    while engine.clock < arrival:
        engine.advance()
    engine.come(NOTE, 0, 0, tokens)
    seen = engine.answer(NOTE)
    return engine.clock - arrival, seen


ARRIVALS = tuple(accumulate((47.3 + number % 7 for number in range(60)), initial=1.0))
"""From the meeting's first encode until well after the batch is full."""


@pytest.mark.parametrize("tokens", NOTE_TOKENS)
@pytest.mark.parametrize("chunked", [False, True], ids=["in order", "chunked"])
@pytest.mark.parametrize("costs", MEASURED.values(), ids=MEASURED)
def test_a_note_is_answered_within_twice_its_time_alone_and_an_encode(
    costs: Costs, chunked: bool, tokens: int
) -> None:
    bound = 2 * alone(costs, tokens) + costs.encode
    for arrival in ARRIVALS:
        seconds, seen = waited(costs, tokens, arrival, chunked)
        assert seconds <= bound, (arrival, seen)
        assert seen[MEETING] <= 1
        assert seen["step"] <= tokens + 3 * _STEPS_BETWEEN_TASKS


def windows_per_encode(chunked: int, in_order: int) -> float:
    """How much is transcribed in the time that one encode takes, over the first 100 windows."""
    costs, engine = MEASURED["base exact"], Engine(MEASURED["base exact"])
    for number in range(chunked):
        engine.come(f"chunked {number}", *[100] * 120, at_once=True)
    for number in range(in_order):
        engine.come(f"in order {number}", *[100] * 120)
    encodes = 0
    while encodes < 100:
        encodes += engine.advance() != "step"
    return encodes * costs.encode / engine.clock


@pytest.mark.parametrize(("chunked", "in_order"), [(1, 0), (0, 8), (2, 0), (3, 0), (1, 1)])
def test_a_batch_stays_full_enough(chunked: int, in_order: int) -> None:
    """A window has 54 of a full batch's steps, and an encode takes 138: 0.72 at best, and 0.58 alone."""
    assert windows_per_encode(0, 1) == pytest.approx(0.58, abs=0.01)
    assert windows_per_encode(chunked, in_order) >= 0.70
