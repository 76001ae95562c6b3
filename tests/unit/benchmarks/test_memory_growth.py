"""What is sent while memory is watched, and the table."""

from collections import Counter
from itertools import islice

import pytest

from benchmarks.memory_growth import KINDS, Resident, mixture, table


@pytest.mark.parametrize(("last", "verdict"), [(104.0, "kept"), (106.0, "broken")])
def test_growth_is_since_the_first_look(last: float, verdict: str) -> None:
    lines = list(table([Resident(50, 100.0), Resident(100, 120.0), Resident(500, last)]))
    assert lines[2:5] == [
        "| 50 | 100 MiB | +0.0 % |",
        "| 100 | 120 MiB | +20.0 % |",
        f"| 500 | {last:.0f} MiB | +{last - 100:.1f} % |",
    ]
    assert lines[-1] == f"At most 5 %: {verdict}."


def test_all_kinds_come_equally_often_and_the_same_every_time() -> None:
    files = [(f"{number}.wav", b"") for number in range(5)]
    sent = list(islice(mixture(files, 1), 2 * len(KINDS)))
    kinds = Counter(tuple(request.form.items()) for request in sent)
    assert set(kinds.values()) == {2}
    assert len(kinds) == len(KINDS)
    assert sent == list(islice(mixture(files, 1), len(sent)))
    assert len({request.name for request in sent}) == len(files)
