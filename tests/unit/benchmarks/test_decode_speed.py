"""The parts of the measurement that need no processes."""

import io
from pathlib import Path

from benchmarks.decode_speed import Case, Cost, cost_of, in_process, table

FLAGSHIP = Path(__file__).resolve().parents[2] / "data" / "flagship.wav"


def test_table() -> None:
    threads = [Cost(1.0, 2.0), Cost(2.0, 2.0), Cost(9.0, 2.0)]
    processes = [Cost(1.0, 4.0), Cost(1.0, 4.0), Cost(3.0, 4.0)]
    case = Case(5, "wav", 40, threads, processes)
    head, rule, row = table([case]).splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")
    assert row == "| 5 s wav | 40 | 2.000 s | 1.000 s | 2.00 | 0.50 |"


def test_every_file_is_read() -> None:
    lengths: list[int] = []

    def read(file: io.BytesIO) -> object:
        samples = in_process(file)
        lengths.append(len(samples))
        return samples

    cost = cost_of(read, FLAGSHIP.read_bytes(), files=3, workers=2)
    assert cost.wall_seconds > 0
    assert cost.cpu_seconds > 0
    assert lengths == [44_265] * 3
