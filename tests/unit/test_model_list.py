"""What WHISPER_MODELS means."""

from pathlib import Path

import pytest

from app.errors import StartError
from app.model_list import ServedModel, more_models, preloaded, verifying
from app.settings import Settings


def models(text: str, **settings: str | bool) -> dict[str, ServedModel]:
    return {model.name: model for model in more_models(Settings(models=text, **settings))}


def test_without_a_list_there_is_one_model() -> None:
    assert models("") == models(" , ,") == {}


def test_names_and_checkpoints() -> None:
    found = models("meetings=turbo, base,/srv/legal.pt, whisper-1 = meetings ,notes=base;int8;short")
    assert {name: model.source for name, model in found.items()} == {
        "meetings": "turbo",
        "base": "base",
        "legal": "/srv/legal.pt",
        "whisper-1": "turbo",
        "notes": "base",
    }
    assert (found["notes"].precision, found["notes"].context) == ("int8", "short")
    assert (found["base"].precision, found["base"].context) == ("exact", "full")


def test_a_name_of_another_entry_is_that_model() -> None:
    found = models("fast=base;int8,whisper-1=fast", precision="exact")
    assert (found["whisper-1"].source, found["whisper-1"].precision) == ("base", "int8")


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StartError, match="can't be read: Permission denied"):
        more_models(Settings(models=str(tmp_path)))


def test_a_file_and_a_folder_are_read(tmp_path: Path) -> None:
    listed = tmp_path / "models.txt"
    listed.write_text("# ours\nfast=base\n\n")
    assert list(models(f"@{listed}")) == ["fast"]
    folder = tmp_path / "all"
    (folder / "tuned").mkdir(parents=True)
    (folder / "tuned" / "config.json").touch()
    (folder / "legal.pt").touch()
    (folder / "README.md").touch()
    assert {name: model.source for name, model in models(str(folder)).items()} == {
        "legal": str(folder / "legal.pt"),
        "tuned": str(folder / "tuned"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast=base,fast=tiny", "has the name 'fast' twice"),
        ("=base", "must be name=checkpoint"),
        ("fast=", "must be name=checkpoint"),
        ("fast=base;int4", "has the option 'int4' for 'fast'; it must be one of exact, int8"),
        ("@/nowhere/at/all", "that file can't be read"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(StartError, match=message):
        models(text)


def test_strict_and_short_contradict_each_other() -> None:
    with pytest.raises(StartError, match="full with WHISPER_STRICT=1"):
        models("fast=base;short", strict=True)


def test_a_missing_checkpoint_is_named_with_its_list(tmp_path: Path) -> None:
    checkpoints = verifying(Settings(model="demo", model_dir=str(tmp_path)))
    with pytest.raises(StartError, match=r"^WHISPER_MODELS, 'base': .*python -m app checkpoint fetch base"):
        checkpoints.get("base")
    with pytest.raises(StartError, match=r"^WHISPER_MODELS, '/none\.pt': the checkpoint is '/none\.pt'"):
        checkpoints.get("/none.pt")


def test_a_checkpoint_is_read_again_only_when_its_file_is_another(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    path.write_bytes(b"one")
    checkpoints = verifying(Settings(model="demo"))
    first = checkpoints.get(str(path))
    assert checkpoints.get(str(path)) is first
    assert first.file_bytes == 3
    (tmp_path / "new.pt").write_bytes(b"two")
    (tmp_path / "new.pt").replace(path)
    assert checkpoints.get(str(path)).checkpoint.sha256 != first.checkpoint.sha256


def test_models_to_load_ahead() -> None:
    settings = Settings(models="a=tiny,b=a,c=base", models_preload=("b",))
    assert [model.name for model in preloaded(settings, more_models(settings))] == ["b"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("x",), "WHISPER_MODELS_PRELOAD has 'x', which is no name in WHISPER_MODELS"),
        (("a", "c"), "are 3 models; WHISPER_MODELS_LOADED is 2"),
    ],
)
def test_models_that_can_t_be_loaded_ahead(names: tuple[str, ...], message: str) -> None:
    settings = Settings(models="a=tiny,b=a,c=base", models_preload=names)
    with pytest.raises(StartError, match=message):
        preloaded(settings, more_models(settings))
