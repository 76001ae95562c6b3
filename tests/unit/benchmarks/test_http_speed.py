"""The table of the measurement over HTTP."""

from benchmarks.http_speed import Served, table

SERVED = Served(8, {"reference": [30.0, 60.0, 29.0], "batched": [15.0, 20.0, 10.0]})


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    assert SERVED.ratio == 2.9


def test_the_table() -> None:
    assert table([SERVED]).splitlines() == [
        "| clients | rounds | reference | batched | batched / reference |",
        "| --- | --- | --- | --- | --- |",
        "| 8 | 3 | 30.00 s | 15.00 s | 2.90 |",
    ]
