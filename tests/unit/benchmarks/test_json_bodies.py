"""What the program of large JSON bodies sends, and what it makes of the costs."""

import json

import pytest

from benchmarks.json_bodies import BODIES, MEGABYTE, Cost, kept, table


@pytest.mark.parametrize("kind", BODIES)
def test_bodies_are_json_of_about_the_size(kind: str) -> None:
    body = BODIES[kind](10_000)
    assert 9_000 < len(body) < 11_000
    assert json.loads(body)["model"]


def test_distinct_keys_are_distinct() -> None:
    assert len(json.loads(BODIES["distinct keys"](12_000))["x"]) == 1_000


@pytest.mark.parametrize(
    ("cost", "expected"),
    [(Cost(400, 9, 1.0, 700), True), (Cost(400, 9, 1.1, 1), False), (Cost(400, 9, 0.1, 701), False)],
)
def test_what_is_promised(cost: Cost, expected: bool) -> None:
    assert kept(cost) is expected


def test_the_table() -> None:
    cost = Cost(400, 12, 0.25, 100)
    assert table({"[]": cost}, 2, 25 * MEGABYTE).splitlines()[2:] == [
        "| body | status | requests for /health | worst /health | worker's memory |",
        "| --- | --- | --- | --- | --- |",
        "| [] | 400 | 12 | 250 ms | +100 MB, 2.0 times what was sent |",
    ]
