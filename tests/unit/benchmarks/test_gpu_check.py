"""The check of a GPU, as far as it goes without one: to its end, with tiny weights on a CPU."""

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.gpu_check import Row, main, missing, rows_of, use_wheels
from benchmarks.gpu_check_pack import FROM_SOURCE, PACKAGES, command, pins
from benchmarks.gpu_check_pack import main as pack
from benchmarks.gpu_exactness import SOUNDS, Compared, sound
from benchmarks.gpu_speed import launched, windows
from benchmarks.parting import first_difference

TINY = ["--device", "cpu", "--tiny", "--windows", "1", "2", "--rounds", "1", "--tokens", "6"]


@pytest.fixture(autouse=True)
def same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.mark.slow
def test_it_runs_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*TINY, "--wheels", str(tmp_path)])
    head, line, *rows = capsys.readouterr().out.splitlines()
    assert (head, line) == ("| measured | found |", "| --- | --- |")
    found = dict(row.strip("| ").split(" | ") for row in rows)
    assert found["device"] == "no GPU: a processor"
    assert found["demo weights, one window after the other"] == "6 of 6 equal"
    assert found["demo weights, all windows at once"] == "6 of 6 equal"
    assert found["demo weights, word times within 0.02 s"] == "2 of 2 equal"
    for who in ("this engine", "openai-whisper"):
        assert "times real time" in found[f"{who}, one window of 30 s"]
        assert "times real time" in found[f"{who}, 2 windows at once"]
    assert "this engine is" in found["openai-whisper, 2 windows at once"]
    assert found["a step of one window"].startswith("nothing on a GPU")
    assert not [row for row in rows if "failed" in row]


def failing() -> Iterator[Row]:
    yield Row("a", "1")
    raise RuntimeError("CUDA out of memory\nand much more")


def test_a_part_that_fails_is_a_row_and_the_others_follow(capsys: pytest.CaptureFixture[str]) -> None:
    parts = [("one", failing), ("two", lambda: iter([Row("b", "2")]))]
    assert list(rows_of(parts, until=float("inf"))) == [
        Row("a", "1"),
        Row("one", "failed: RuntimeError: CUDA out of memory", wrong=True),
        Row("b", "2"),
    ]
    assert "and much more" in capsys.readouterr().err


def test_nothing_begins_when_the_time_is_over() -> None:
    assert list(rows_of([("one", failing)], until=0.0)) == [Row("one", "not measured: no time left")]


def wheel(folder: Path, package: str) -> Path:
    path = folder / f"{package}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{package}/__init__.py", "NUMBER = 5\n")
        archive.writestr(f"{package}-1.dist-info/METADATA", "Name: x\n")
        archive.writestr(f"{package}.libs/libx.so", "")
    return path


def test_wheels_of_missing_packages_alone_are_used(tmp_path: Path) -> None:
    there, lacking = wheel(tmp_path, "numpy"), wheel(tmp_path, "lacking_here")
    assert not missing(there)
    assert missing(lacking)
    assert use_wheels(tmp_path, tmp_path / "site") == ["lacking_here 1"]
    import lacking_here

    assert lacking_here.NUMBER == 5
    assert not (tmp_path / "site" / "numpy").exists()


def test_every_package_is_pinned_and_downloaded_for_the_other_machine(tmp_path: Path) -> None:
    pinned = pins()
    assert set(PACKAGES) <= set(pinned)
    for package in PACKAGES:
        told = command(package, pinned[package], tmp_path, "3.12")
        assert told[-1] == pinned[package]
        assert "--no-deps" in told
        assert ("--python-version=3.12" in told) is (package not in FROM_SOURCE)


def test_what_this_python_lacks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pack(["--lacking"])
    assert capsys.readouterr().out == "\n"
    monkeypatch.setitem(PACKAGES, "some-package", "lacking_here_too")
    pack(["--lacking"])
    assert capsys.readouterr().out == "some-package\n"


@pytest.mark.parametrize(
    ("compared", "found", "wrong"),
    [
        (Compared(3), "3 of 3 equal", False),
        (Compared(3, 1), "3 of 4 equal, 1 part within 0.02 logits", False),
        (
            Compared(2, 1, ["german greedy"]),
            "2 of 4 equal, 1 part within 0.02 logits, 1 differ: german greedy",
            True,
        ),
    ],
)
def test_what_was_compared(compared: Compared, found: str, wrong: bool) -> None:
    assert compared.row("demo") == Row("demo", found, wrong)


@pytest.mark.parametrize(
    ("theirs", "ours", "place"),
    [((1, 2, 9), (1, 2, 9), None), ((1, 2, 9), (1, 3, 9), 1), ((1, 9), (1, 2, 9), 1), ((9,), (2, 9), 0)],
)
def test_where_texts_part(theirs: tuple[int, ...], ours: tuple[int, ...], place: int | None) -> None:
    assert first_difference(theirs, ours) == place


def test_launches_are_counted_by_kind() -> None:
    def events(device: str, *names: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(device_type=f"DeviceType.{device}", name=name) for name in names]

    counted = launched(
        [
            *events("CUDA", "gemm", "softmax", "Memcpy HtoD", "Memset"),
            *events("CPU", "aten::add", "cudaGraphLaunch", "cudaLaunchKernel", "cudaMemcpyAsync"),
            *events("CPU", "cudaStreamSynchronize", "cuLaunchKernel"),
        ]
    )
    assert counted == {
        "kernels": 2,
        "graph launches": 1,
        "single launches": 2,
        "copies": 1,
        "synchronizations": 1,
    }


def test_windows_are_full_and_differ() -> None:
    found = windows(3)
    assert {len(samples) for samples in found} == {480_000}
    assert not (found[0] == found[1]).all()
    assert all(0.5 < len(sound(name)) / 16_000 < 30 for name in SOUNDS)
