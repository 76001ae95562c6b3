"""How many may work, speak, read and write, whose slot another gets, and for whom the wait is too long."""

from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import admission as admission_module
from app.admission import (
    ADMITTED,
    DRAINING,
    FAIR_SHARE,
    OTHERS_SECONDS,
    READING,
    SLOW_BYTES_PER_SECOND,
    SPARE,
    SPEAKING,
    THREADS,
    WAITING,
    WRITING,
    Admission,
    Pace,
    PaceOf,
    Permits,
    TransferSlot,
    TransferSlots,
)
from app.errors import ServerBusy


def admission(max_wait_seconds: float = 300, pace: float = 0.0) -> Admission:
    return Admission(max_wait_seconds, lambda: Pace(pace, pace))


def test_permits_are_limited_and_come_back() -> None:
    gate = admission()
    with ExitStack() as held:
        for _ in range(ADMITTED):
            held.enter_context(gate.admit())
        assert gate.working.taken == ADMITTED
        with pytest.raises(ServerBusy, match=f"working on {ADMITTED} requests"), gate.admit():
            pass
        with gate.read():
            assert gate.reading.taken == 1
    assert (gate.working.taken, gate.reading.taken) == (0, 0)


def test_places_to_read_are_limited_and_come_back() -> None:
    gate = admission()
    with ExitStack() as held:
        for _ in range(READING):
            held.enter_context(gate.read())
        with pytest.raises(ServerBusy, match=f"reading {READING} uploads") as caught, gate.read():
            pass
        assert caught.value.retry_after_seconds == 5
        with gate.admit():
            assert gate.working.taken == 1
    assert (gate.working.taken, gate.reading.taken) == (0, 0)


def test_a_failing_request_returns_its_permit() -> None:
    gate = admission()
    with pytest.raises(ZeroDivisionError), gate.admit():
        raise ZeroDivisionError
    assert gate.working.taken == 0


@pytest.mark.parametrize(
    ("pace", "running", "retry_after"), [(150.1, 2, 1), (200.0, 2, 100), (100.0, 23, 120), (301.0, 1, 1)]
)
def test_a_wait_that_is_too_long_is_refused_at_once(pace: float, running: int, retry_after: int) -> None:
    gate = admission(300, pace)
    gate.working.taken = running
    with pytest.raises(ServerBusy) as caught, gate.admit():
        pass
    assert caught.value.retry_after_seconds == retry_after
    assert f"after about {running * pace:.0f} seconds" in caught.value.message
    assert f"{running} requests are before it" in caught.value.message
    assert "300 seconds (WHISPER_MAX_WAIT_SECONDS)" in caught.value.message
    assert gate.working.taken == running


@pytest.mark.parametrize(("pace", "running"), [(0.0, 23), (13.0, 23), (300.0, 1), (9_999.0, 0)])
def test_a_wait_that_is_short_enough(pace: float, running: int) -> None:
    gate = admission(300, pace)
    gate.working.taken = running
    with gate.admit():
        assert gate.working.taken == running + 1


def test_a_full_server_of_slow_windows_says_to_come_back_later() -> None:
    gate = admission(10_000, 40.2)
    gate.working.taken = ADMITTED
    with pytest.raises(ServerBusy, match="working on") as caught, gate.admit():
        pass
    assert caught.value.retry_after_seconds == 41


def test_how_much_audio_fits_into_a_deadline() -> None:
    assert admission(pace=0.5).longest_seconds(60) == pytest.approx(3_600)
    assert admission().longest_seconds(60) == float("inf")


def test_windows_of_a_short_context_are_a_short_wait_and_say_nothing_of_long_recordings() -> None:
    gate = Admission(10, lambda: Pace(0.5, 3.0))
    gate.working.taken = 20
    with gate.admit():
        assert gate.longest_seconds(60) == pytest.approx(600)
        with pytest.raises(ServerBusy, match=r"a window of each takes 0\.5 seconds"), gate.admit():
            pass


def slow() -> Pace:
    """Of another model than the first."""
    return Pace(120.5, 400.0)


@pytest.mark.parametrize("pace", [None, slow], ids=["first", "other"])
def test_each_request_before_a_new_one_counts_with_the_pace_of_its_own_model(pace: PaceOf | None) -> None:
    """Models take turns: whichever the new one is for, it waits for the windows of all."""
    gate = admission(300, pace=1.0)
    with ExitStack() as fast:
        for _ in range(20):
            fast.enter_context(gate.admit())
        with ExitStack() as others:
            for _ in range(3):  # before the third: 20 * 1 s and 2 * 120.5 s
                others.enter_context(gate.admit(pace=slow))
            with pytest.raises(ServerBusy) as caught, gate.admit(pace=pace):
                pass
            assert "after about 382 seconds: 23 requests are before it" in caught.value.message
            assert "a window of each takes 16.6 seconds" in caught.value.message
            assert caught.value.retry_after_seconds == 82
            assert gate.working.taken == 23
        with gate.admit(pace=pace):  # those of the slow model have ended
            assert gate.working.taken == 21


def test_a_failing_request_for_another_model_counts_no_longer() -> None:
    gate = admission(100, pace=1.0)
    with pytest.raises(ZeroDivisionError), gate.admit(pace=slow):
        with pytest.raises(ServerBusy), gate.admit():
            pass
        raise ZeroDivisionError
    with gate.admit():
        assert gate.working.taken == 1


def test_a_pace_counts_as_it_is_when_somebody_asks() -> None:
    gate, seconds = admission(100, pace=1.0), [0.0]
    with gate.admit(pace=lambda: Pace(seconds[0], seconds[0])):
        with gate.admit():
            pass
        seconds[0] = 120.5
        with pytest.raises(ServerBusy, match="after about 120 seconds"), gate.admit():
            pass


def test_when_all_permits_are_taken_each_model_has_its_own_time_to_come_back() -> None:
    gate = admission(10_000, pace=1.0)
    gate.working.taken = ADMITTED
    found = list[int | None]()
    for pace in (None, lambda: Pace(60.5, 200.0)):
        with pytest.raises(ServerBusy, match="working on") as caught, gate.admit(pace=pace):
            pass
        found.append(caught.value.retry_after_seconds)
    assert found == [5, 61]


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(admission_module, "monotonic", clock)
    return clock


class TestPlace:
    def test_a_pace_is_that_of_the_last_ten_seconds(self, clock: Clock) -> None:
        slot = TransferSlot()
        for _ in range(30):
            slot.count(1_000)
            clock.now += 1
        assert slot.bytes_per_second() == pytest.approx(1_000, rel=0.15)
        for _ in range(30):
            clock.now += 1
            slot.count(0)
        assert slot.bytes_per_second() == 0

    def test_what_comes_in_many_pieces_is_counted_in_full(self, clock: Clock) -> None:
        slot = TransferSlot()
        for _ in range(10_000):
            clock.now += 0.001
            slot.count(10)
        assert slot.bytes_per_second() == pytest.approx(10_000, rel=0.11)
        assert len(slot._marks) <= 12, "it must not grow with the number of reads"

    def test_a_new_client_has_no_pace_above_what_it_sent(self, clock: Clock) -> None:
        slot = TransferSlot()
        slot.count(5_000)
        assert slot.bytes_per_second() == 5_000

    @pytest.mark.parametrize("silent_seconds", [10.0, 11.0, 59.0])
    def test_a_client_that_stopped_has_no_pace(self, clock: Clock, silent_seconds: float) -> None:
        """However much it sent before: nothing is counted for it any more."""
        slot = TransferSlot()
        for _ in range(100):
            clock.now += 0.03
            slot.count(10**6)
        clock.now += silent_seconds
        assert slot.bytes_per_second() == 0

    def test_a_burst_after_a_long_silence_is_no_pace(self, clock: Clock) -> None:
        slot = TransferSlot()
        clock.now += 50
        slot.count(SLOW_BYTES_PER_SECOND)
        assert slot.bytes_per_second() == SLOW_BYTES_PER_SECOND / 10


def filled(count: int) -> tuple[TransferSlots, list[TransferSlot]]:
    slots = TransferSlots(count)
    taken = [slot for _ in range(count) if (slot := slots.take())]
    assert len(taken) == count
    return slots, taken


class TestPlaces:
    def test_while_places_are_free_nobody_is_cut_for_being_slow(self, clock: Clock) -> None:
        slots = TransferSlots(3)
        slow = [slots.take(), slots.take()]
        clock.now += 1_000
        assert slots.take()
        assert not any(slot.lost for slot in slow if slot)
        assert slots.taken == 3

    def test_the_slowest_gives_way_to_a_newcomer(self, clock: Clock) -> None:
        slots, taken = filled(4)
        clock.now += 10
        for slot, size in zip(taken, (3_000, 10, 2_000, 10**9), strict=True):
            slot.count(size)
        newcomer = slots.take()
        assert newcomer
        assert [slot.lost for slot in taken] == [False, True, False, False]
        assert slots.taken == 4

    def test_the_first_of_those_that_are_equally_slow(self, clock: Clock) -> None:
        slots = TransferSlots(3)
        taken = []
        for _ in range(3):
            taken.append(slots.take())
            clock.now += 2
        for lost in range(3):
            assert slots.take()
            assert [slot.lost for slot in taken if slot] == [number <= lost for number in range(3)]

    def test_who_sent_much_and_then_stopped_gives_way(self, clock: Clock) -> None:
        """A client that sends a megabyte and waits must not hold its slot for as long as it may be idle."""
        slots, taken = filled(2)
        for slot in taken:
            slot.count(10 * SLOW_BYTES_PER_SECOND + 1)
        clock.now += 9
        assert slots.take() is None
        clock.now += 2
        assert slots.take()
        assert [slot.lost for slot in taken].count(True) == 1

    def test_whoever_is_fast_enough_stays(self, clock: Clock) -> None:
        slots, taken = filled(2)
        clock.now += 10
        for slot, missing in zip(taken, (1, 0), strict=True):
            slot.count(10 * SLOW_BYTES_PER_SECOND - missing)
        assert slots.take()
        assert [slot.lost for slot in taken] == [True, False]

    def test_nothing_is_known_about_a_client_that_has_just_come(self, clock: Clock) -> None:
        slots, taken = filled(2)
        clock.now += 0.99
        assert slots.take() is None
        clock.now += 0.02
        assert slots.take()
        assert sum(slot.lost for slot in taken) == 1

    def test_a_lost_place_is_given_back_all_the_same(self, clock: Clock) -> None:
        slots, [slot] = filled(1)
        clock.now += 2
        newcomer = slots.take()
        assert slot.lost
        assert newcomer
        slots.give_back(slot)
        slots.give_back(slot)
        assert slots.taken == 1, "the newcomer's stays taken"
        slots.give_back(newcomer)
        assert slots.taken == 0

    def test_without_any_there_are_none(self) -> None:
        assert TransferSlots(0).take() is None


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["take", "give back", "count", "wait"]), st.integers(0, 9), st.integers(0, 10**6)
    ),
    max_size=60,
)


@given(count=st.integers(0, 4), moves=MOVES)
def test_there_are_never_more_places_than_there_are(count: int, moves: list[tuple[str, int, int]]) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission_module, "monotonic", clock)
        slots, held = TransferSlots(count), list[TransferSlot]()
        for move, number, size in moves:
            if move == "take":
                lost_before = sum(slot.lost for slot in held)
                was_free = slots.taken < count
                if slot := slots.take():
                    held.append(slot)
                newly_lost = sum(slot.lost for slot in held) - lost_before
                assert newly_lost == (1 if slot and not was_free else 0)
                assert slot or not was_free
            elif move == "wait":
                clock.now += number
            elif held:
                slot = held[number % len(held)]
                if move == "count":
                    slot.count(size)
                else:
                    held.remove(slot)
                    slots.give_back(slot)
            assert slots.taken == sum(not slot.lost for slot in held) <= count
        for slot in held:
            slots.give_back(slot)
        assert slots.taken == 0


def take_all(permits: Permits, caller: str) -> int:
    taken = 0
    while permits.take(caller):
        taken += 1
    return taken


class TestPermits:
    def test_a_caller_alone_may_have_them_all(self, clock: Clock) -> None:
        permits = Permits(6, share=2)
        assert take_all(permits, "a") == 6
        assert permits.taken == 6

    def test_while_another_has_one_a_caller_has_its_share_at_most(self, clock: Clock) -> None:
        permits = Permits(6, share=2)
        assert permits.take("b")
        clock.now += 10_000
        assert take_all(permits, "a") == 2
        assert not permits.take("a")
        assert take_all(permits, "b") == 1
        assert take_all(permits, "c") == 2
        assert permits.taken == 6

    def test_who_holds_more_than_its_share_gets_no_more_once_another_asks(self, clock: Clock) -> None:
        permits = Permits(6, share=2)
        for _ in range(6):
            assert permits.take("a")
        assert not permits.take("b"), "nothing is free"
        permits.give_back("a")
        assert not permits.take("a"), "what comes free is for the other"
        assert permits.take("b")

    def test_who_was_refused_counts_among_those_who_ask(self, clock: Clock) -> None:
        permits = Permits(2, share=1)
        assert take_all(permits, "a") == 2
        assert not permits.take("b")
        permits.give_back("a")
        clock.now += OTHERS_SECONDS - 1
        assert not permits.take("a")
        clock.now += 2
        assert permits.take("a")

    def test_a_caller_that_asks_again_and_again_is_not_another(self, clock: Clock) -> None:
        permits = Permits(4, share=1)
        assert take_all(permits, "a") == 4
        permits.give_back("a")
        assert permits.take("a")

    def test_what_is_given_back_is_forgotten(self, clock: Clock) -> None:
        permits = Permits(2, share=1)
        for number in range(100):
            assert permits.take(str(number))
            permits.give_back(str(number))
        assert (permits.taken, len(permits._held)) == (0, 0)


CALLERS = st.sampled_from("abc")


@given(
    count=st.integers(0, 5),
    share=st.integers(1, 3),
    moves=st.lists(st.tuples(st.sampled_from(["take", "give back", "wait"]), CALLERS), max_size=60),
)
def test_the_share_binds_only_while_others_ask(count: int, share: int, moves: list[tuple[str, str]]) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission_module, "monotonic", clock)
        permits, held = Permits(count, share), Counter[str]()
        asked: dict[str, float] = {}
        for move, caller in moves:
            if move == "take":
                since = clock.now - OTHERS_SECONDS
                others = any(when > since for who, when in asked.items() if who != caller)
                others |= any(held[who] for who in held if who != caller)
                may = held.total() < count and not (others and held[caller] >= share)
                assert permits.take(caller) is may
                held[caller] += may
                asked[caller] = clock.now
            elif move == "wait":
                clock.now += 25
            elif held[caller]:
                permits.give_back(caller)
                held[caller] -= 1
            assert permits.taken == held.total() <= count
        for caller in held.elements():
            permits.give_back(caller)
        assert permits.taken == 0
        assert not permits._held


def test_the_threads_are_shared_out() -> None:
    assert THREADS == ADMITTED + SPEAKING + READING + DRAINING + WAITING + SPARE
    assert WRITING < ADMITTED + SPEAKING + SPARE, "threads stay free when all who may wait for clients do"
    assert FAIR_SHARE * 2 == ADMITTED


def test_speakers_have_permits_of_their_own() -> None:
    gate = admission(300, 301.0)
    with ExitStack() as held:
        for _ in range(SPEAKING):
            held.enter_context(gate.admit_speaker("a"))
        with pytest.raises(ServerBusy, match=f"speaking {SPEAKING} texts") as caught, gate.admit_speaker("a"):
            pass
        assert caught.value.retry_after_seconds == 5
        with gate.admit("a"):  # no wait for windows counts for those who speak, nor they for others
            assert (gate.working.taken, gate.speaking.taken) == (1, SPEAKING)
    assert (gate.working.taken, gate.speaking.taken) == (0, 0)


@pytest.mark.parametrize("most", ["admit", "admit_speaker"])
def test_one_caller_leaves_half_to_the_others(most: str) -> None:
    gate = admission()
    count = {"admit": ADMITTED, "admit_speaker": SPEAKING}[most]
    enter = getattr(gate, most)
    with ExitStack() as held:
        held.enter_context(enter("b"))
        for _ in range(count // 2):
            held.enter_context(enter("a"))
        with pytest.raises(ServerBusy, match="half of them for you while others wait"), enter("a"):
            pass
        for _ in range(count // 2 - 1):
            held.enter_context(enter("b"))
        with pytest.raises(ServerBusy), enter("c"):
            pass


def test_a_slow_body_gives_way_to_a_newcomer(clock: Clock) -> None:
    gate = admission()
    with ExitStack() as held:
        slots = [held.enter_context(gate.read()) for _ in range(READING)]
        with pytest.raises(ServerBusy), gate.read():
            pass
        clock.now += 2
        with gate.read():
            assert [slot.lost for slot in slots].count(True) == 1
            assert gate.reading.taken == READING
    assert gate.reading.taken == 0
