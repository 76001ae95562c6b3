"""The parts of the measurement that need no server."""

import pytest

from benchmarks.request_cost import Case, Split, table, typical

MEASURED = {"received": 101.0, "decode": 0.5, "gate": 0.25, "model": 7.0, "answered": 109.0}


def test_the_stages_add_up_to_the_wall_time() -> None:
    split = Split.of(100.5, MEASURED, 109.25)
    assert split == Split(
        upload_seconds=0.5,
        decode_seconds=0.5,
        gate_seconds=0.25,
        model_seconds=7.0,
        loop_seconds=0.25,
        answer_seconds=0.25,
    )
    assert split.wall_seconds == 8.75
    assert split.overhead == pytest.approx(1.75 / 8.75)


def test_typical_takes_each_stage_by_itself() -> None:
    splits = [Split(1, 9, 5, 0, 2, 3), Split(2, 8, 5, 0, 2, 1), Split(3, 1, 5, 0, 2, 2)]
    assert typical(splits) == Split(2, 8, 5, 0, 2, 2)


def test_table() -> None:
    head, rule, row = table([Case(30, "wav", 2_646_078, 3, Split.of(100.5, MEASURED, 109.25))]).splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")
    assert row == (
        "| 30 s | wav | 2.6 MB | 3 | 8.75 s | 500.0 ms | 500.0 ms | 250.0 ms | 7000.0 ms | 250.0 ms "
        "| 250.0 ms | 20.00% |"
    )
