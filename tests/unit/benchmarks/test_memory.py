"""What is read of a process, and the table."""

from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from app.checkpoints import DEMO_PATH
from benchmarks.memory import IMPORTS, REST, SPEECH, STAGES, WEIGHTS, Held, Job, Measured, looked_at, table
from benchmarks.recordings import speech

ROLLUP = "Rss:              900000 kB\nPss:              500000 kB\nAnonymous:        400000 kB\n"
STATUS = "VmPeak:\t 9999999 kB\nVmHWM:\t 1000000 kB\nVmRSS:\t  900000 kB\n"


def test_sizes_are_in_millions_of_bytes() -> None:
    assert Held.of(ROLLUP, STATUS) == (921.6, 512.0, 409.6, 1024.0)


def test_this_process_can_be_read() -> None:
    held = Held.by("self")
    assert 0 < held.private < held.resident <= held.peak


@pytest.mark.parametrize(("rest", "verdict"), [(699.0, "reached"), (701.0, "missed")])
def test_a_size_is_held_to_its_goal(rest: float, verdict: str) -> None:
    stages = {IMPORTS: Held(330, 250, 180, 330), WEIGHTS: Held(600, 500, 400, 750)}
    stages[REST] = Held(rest, 500, 450, 900)
    lines = list(table([Measured("base", "batched exact", stages)]))
    assert lines[2] == f"| base | batched exact | 330 / 250 | 750 | 600 / 500 | {rest:.0f} / 500 | 450 |  |"
    assert lines[-1] == f"* base, batched exact, at rest: {rest:.0f} MB (goal 700: {verdict})"


def test_an_engine_is_seen_at_every_stage(tmp_path: Path) -> None:
    np.save(tmp_path / "speech.npy", speech(3))
    job = Job(DEMO_PATH, "demo", "exact", tmp_path / "speech.npy")
    with get_context("spawn").Pool(1) as pool:
        measured = pool.apply(looked_at, ("batched exact", job, 0.0))
    assert tuple(measured.stages) == STAGES
    assert measured.stages[IMPORTS].private < measured.stages[WEIGHTS].private
    assert measured.stages[SPEECH].peak >= measured.stages[REST].peak
