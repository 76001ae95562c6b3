"""What a soak makes of what it has seen."""

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.soak import CLIENTS, MAX_GROWTH_MB, Findings, table
from tests.functional.process_state import ProcessState

IDLE = ProcessState(resident_mb=500.0, threads=5, descriptors=12, temporary_files=1)
WARM = replace(IDLE, resident_mb=700.0, threads=14)


def findings(after: ProcessState = WARM, wrong: tuple[str, ...] = ()) -> Findings:
    return Findings(10, Counter(json=6, chat=4), list(wrong), [IDLE, WARM, after], 2.0)


def test_the_table_of_a_good_run() -> None:
    assert table(findings()).splitlines() == [
        "10 of 10 requests in 2 s: 4 chat, 6 json",
        "",
        "| | memory | threads | descriptors | temporary files |",
        "| --- | --- | --- | --- | --- |",
        "| before | 500 MiB | 5 | 12 | 1 |",
        "| warmed up | 700 MiB | 14 | 12 | 1 |",
        "| after | 700 MiB | 14 | 12 | 1 |",
        "",
        "Nothing was wrong.",
    ]


@pytest.mark.parametrize(
    ("after", "fault"),
    [
        (replace(WARM, resident_mb=701.0 + MAX_GROWTH_MB), "memory grew by 65 MiB"),
        (replace(WARM, temporary_files=2), "temporary files stayed open"),
        (replace(WARM, descriptors=13), "file descriptors stayed open"),
        (replace(WARM, threads=6 + 2 * CLIENTS), "threads were left behind"),
    ],
)
def test_what_is_left_behind_is_a_fault(after: ProcessState, fault: str) -> None:
    assert findings(after).faults == [fault]
    assert table(findings(after)).endswith(fault)


def test_a_wrong_answer_is_a_fault() -> None:
    assert findings(wrong=("request 3, json: 'x' for 'y'",)).faults == ["request 3, json: 'x' for 'y'"]
