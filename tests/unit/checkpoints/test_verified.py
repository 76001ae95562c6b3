"""Checkpoints that are checked once, and again when a file of theirs has been replaced."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from app.checkpoints.checkpoint import Checkpoint
from app.checkpoints.verified import Verified, VerifiedCheckpoints, stamp_of
from app.errors import CheckpointError

SECOND_NS = 1_000_000_000


class Resolving:
    """Resolves a source to the file of that name; keeps what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.failure: CheckpointError | None = None

    def __call__(self, source: str) -> Checkpoint:
        self.asked.append(source)
        if self.failure:
            raise self.failure
        path = self.folder / source
        return Checkpoint(source, path, path.read_text())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.pt"
    path.write_text("first")
    return path


@pytest.fixture
def resolving(tmp_path: Path) -> Resolving:
    return Resolving(tmp_path)


def verified(path: Path) -> Verified:
    return Verified(Checkpoint("a", path, "ab"), stamp_of(path))


def replaced(path: Path) -> None:
    """Another file of the same size and time in its place, as `mv` makes it."""
    stat, new = path.stat(), path.with_suffix(".new")
    new.write_text("x" * stat.st_size)
    os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    new.rename(path)


def longer(path: Path) -> None:
    stat = path.stat()
    path.write_text(path.read_text() + "x")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def touched(path: Path) -> None:
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


CHANGES = [replaced, longer, touched, Path.unlink]


def test_what_a_file_takes_and_when_it_was_written(file: Path) -> None:
    os.utime(file, ns=(0, 7 * SECOND_NS + 999))
    assert (verified(file).file_bytes, verified(file).written_at) == (5, 7)


def test_a_folder_is_all_of_its_files_and_as_new_as_the_last(tmp_path: Path) -> None:
    for name, size, seconds in [("b", 2, 9), ("a", 1, 5)]:
        (tmp_path / name).write_bytes(bytes(size))
        os.utime(tmp_path / name, ns=(0, seconds * SECOND_NS))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "c").write_bytes(bytes(100))
    assert [name for name, *_ in stamp_of(tmp_path)] == ["a", "b"]
    assert (verified(tmp_path).file_bytes, verified(tmp_path).written_at) == (3, 9)


def test_what_is_not_there_has_no_stamp(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt can't be read \(No such file or directory\)"):
        stamp_of(tmp_path / "none.pt")


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_file_is_seen(file: Path, change: Callable[[Path], None]) -> None:
    found = verified(file)
    assert found.unchanged
    change(file)
    assert not found.unchanged


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_file_in_a_folder_is_seen(
    file: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    found = verified(tmp_path)
    change(file)
    assert not found.unchanged


def test_a_file_more_in_a_folder_is_a_change(tmp_path: Path, file: Path) -> None:
    found = verified(tmp_path)
    (tmp_path / "b").touch()
    assert not found.unchanged


def test_a_checkpoint_is_checked_once(file: Path, resolving: Resolving) -> None:
    checkpoints = VerifiedCheckpoints(resolving)
    assert checkpoints.remembered("a.pt") is None
    found = checkpoints.get("a.pt")
    assert found.checkpoint.sha256 == "first"
    assert checkpoints.get("a.pt") is checkpoints.remembered("a.pt") is found
    assert resolving.asked == ["a.pt"]


def test_one_that_was_checked_before_is_not_checked_again(file: Path, resolving: Resolving) -> None:
    known = verified(file)
    checkpoints = VerifiedCheckpoints(resolving, {"a.pt": known})
    assert checkpoints.get("a.pt") is checkpoints.remembered("a.pt") is known
    assert resolving.asked == []


@pytest.mark.parametrize("before", [True, False])
def test_a_replaced_file_is_checked_again(file: Path, resolving: Resolving, before: bool) -> None:
    """Whether it was known from the start or has been found since."""
    checkpoints = VerifiedCheckpoints(resolving, {"a.pt": verified(file)} if before else {})
    checkpoints.get("a.pt")
    resolving.asked.clear()
    file.write_text("second")
    assert checkpoints.get("a.pt").checkpoint.sha256 == "second"
    assert checkpoints.get("a.pt").unchanged
    assert resolving.asked == ["a.pt"]


def test_a_failure_is_not_remembered(file: Path, resolving: Resolving) -> None:
    checkpoints = VerifiedCheckpoints(resolving)
    resolving.failure = CheckpointError("damaged")
    for _ in range(2):
        with pytest.raises(CheckpointError, match="damaged"):
            checkpoints.get("a.pt")
    resolving.failure = None
    assert checkpoints.get("a.pt").checkpoint.sha256 == "first"
    assert len(resolving.asked) == 3


def test_after_a_failure_the_last_one_is_still_remembered(file: Path, resolving: Resolving) -> None:
    """A model that is loaded is answered with, though its files have gone."""
    checkpoints = VerifiedCheckpoints(resolving)
    found = checkpoints.get("a.pt")
    file.unlink()
    resolving.failure = CheckpointError("missing")
    with pytest.raises(CheckpointError, match="missing"):
        checkpoints.get("a.pt")
    assert checkpoints.remembered("a.pt") is found


def test_all_who_ask_at_once_share_one_check(file: Path, resolving: Resolving) -> None:
    checkpoints, together = VerifiedCheckpoints(resolving), Barrier(8)

    def ask(_number: int) -> Verified:
        together.wait(60)
        return checkpoints.get("a.pt")

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, range(8)))
    assert all(each is found[0] for each in found)
    assert resolving.asked == ["a.pt"]
