from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from app.request_cost import CostTotals, RequestCost

PATIENCE_SECONDS = 60


def test_everything_is_added_up() -> None:
    cost = RequestCost()
    cost.add_audio(3.0)
    cost.add_audio(2.0)
    cost.add_reading(0.5)
    cost.add_fallback()
    cost.start_call()
    cost.start_call()
    cost.finish_call(windows=1, queue_seconds=4.0, model_seconds=6.0)
    assert cost.totals() == CostTotals(
        audio_seconds=5.0,
        read_seconds=0.5,
        windows=1,
        fallbacks=1,
        queue_seconds=4.0,
        model_seconds=6.0,
        unfinished=1,
    )


def test_totals_that_were_read_do_not_change() -> None:
    cost = RequestCost(CostTotals(windows=2))
    before = cost.totals()
    cost.add_fallback()
    assert (before, before.windows) == (CostTotals(windows=2), 2)


def test_no_thread_loses_what_another_adds() -> None:
    cost, together = RequestCost(), Barrier(4)

    def work() -> None:
        together.wait(PATIENCE_SECONDS)
        for _ in range(500):
            cost.start_call()
            cost.add_fallback()
            cost.finish_call(windows=1, queue_seconds=1.0, model_seconds=2.0)

    with ThreadPoolExecutor(4) as threads:
        for outcome in [threads.submit(work) for _ in range(4)]:
            outcome.result(PATIENCE_SECONDS)
    assert cost.totals() == CostTotals(
        windows=2_000, fallbacks=2_000, queue_seconds=2_000.0, model_seconds=4_000.0
    )


def test_waits_until_the_last_call_has_finished() -> None:
    cost = RequestCost()
    cost.start_call()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(cost.wait_until_finished, PATIENCE_SECONDS)
        assert not waiting.done()
        cost.finish_call(windows=1, queue_seconds=0.0, model_seconds=0.0)
        waiting.result(PATIENCE_SECONDS)
    assert cost.totals().unfinished == 0


def test_does_not_wait_for_ever() -> None:
    cost = RequestCost()
    cost.start_call()
    cost.wait_until_finished(0.01)
    assert cost.totals().unfinished == 1


def test_what_came_later() -> None:
    cost = RequestCost()
    cost.add_audio(2.0)
    before = cost.totals()
    cost.add_audio(1.5)
    cost.start_call()
    cost.finish_call(3, 0.5, 0.25)
    assert cost.totals().since(before) == CostTotals(
        audio_seconds=1.5, windows=3, queue_seconds=0.5, model_seconds=0.25
    )
