"""Recordings with their text."""

import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest

from benchmarks.speech import clips, human

DATA = Path(__file__).parents[2] / "data"


def test_a_folder_of_recordings(tmp_path: Path) -> None:
    shutil.copy(DATA / "flagship.wav", tmp_path / "b.wav")
    shutil.copy(DATA / "minute.flac", tmp_path / "a.flac")
    (tmp_path / "README.md").write_text("No recording.")
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"what {name} says\n")
    first, second = human(tmp_path)
    assert [(each.name, each.text, each.language) for each in (first, second)] == [
        ("a", "what a says", "en"),
        ("b", "what b says", "en"),
    ]
    assert 60 < len(first.samples) / 16_000 < 70
    assert 0 < abs(first.samples).max() <= 1


@pytest.mark.parametrize("name", ["none.wav", "none.txt"])
def test_a_folder_without(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=r"none\.txt|SPEECH_SAMPLES"):
        human(tmp_path)


def test_clips_in_a_wheel(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "clips.whl", "w") as archive:
        archive.write(DATA / "german.wav", "package/audio/de/numbers.wav")
        archive.writestr("package/audio/de/numbers.txt", "Zwölf.\n".encode())
    [clip] = clips(tmp_path / "clips.whl")
    assert (clip.name, clip.text, clip.language) == ("de/numbers", "Zwölf.", "de")
    assert len(clip.samples)
