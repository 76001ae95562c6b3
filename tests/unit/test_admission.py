"""How many may work and read, and for whom the wait would be too long."""

from contextlib import ExitStack

import pytest

from app.admission import ADMITTED, READING, Admission
from app.errors import ServerBusy


def admission(max_wait_seconds: float = 300, pace: float = 0.0) -> Admission:
    return Admission(max_wait_seconds, lambda: pace)


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


def test_eight_threads_stay_free() -> None:
    assert ADMITTED + READING + 8 == 64


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


def test_who_only_speaks_waits_for_no_window() -> None:
    gate = admission(300, 301.0)
    gate.working.taken = 1
    with gate.admit(hears=False):
        assert gate.working.taken == 2
    gate.working.taken = ADMITTED
    with pytest.raises(ServerBusy, match="working on"), gate.admit(hears=False):
        pass


def test_a_full_server_of_slow_windows_says_to_come_back_later() -> None:
    gate = admission(10_000, 40.2)
    gate.working.taken = ADMITTED
    with pytest.raises(ServerBusy, match="working on") as caught, gate.admit():
        pass
    assert caught.value.retry_after_seconds == 41


def test_how_much_audio_fits_into_a_deadline() -> None:
    assert admission(pace=0.5).longest_seconds(60) == pytest.approx(3_600)
    assert admission().longest_seconds(60) == float("inf")
