"""Finding, fetching and refusing checkpoint files."""

import hashlib
import struct
from pathlib import Path

import pytest
import whisper

from app.checkpoints import (
    DEMO_NOTICE,
    DEMO_PATH,
    DEMO_SHA256,
    RELEASES,
    Checkpoint,
    Release,
    found_at,
    resolve,
)
from app.errors import CheckpointError
from app.settings import Settings
from tests.hub_server import HubServer, running
from tests.unit.checkpoints.sentences import is_one_sentence

CONTENTS = b"weights" * 100_000
SHA256 = hashlib.sha256(CONTENTS).hexdigest()


def test_releases_are_openai_whispers() -> None:
    assert {name: release.url for name, release in RELEASES.items()} == whisper._MODELS


def test_every_release_has_alignment_heads() -> None:
    checkpoints = [Checkpoint(name, Path(release.file), release.sha256) for name, release in RELEASES.items()]
    for checkpoint in checkpoints:
        heads = whisper._ALIGNMENT_HEADS[checkpoint.published_name]
        assert heads == whisper._ALIGNMENT_HEADS[checkpoint.name]


@pytest.mark.parametrize(
    ("name", "names"),
    [("turbo", ("large-v3-turbo", "turbo")), ("large-v3", ("large-v3", "large")), ("tiny.en", ("tiny.en",))],
)
def test_aliases_are_names_of_the_same_file(name: str, names: tuple[str, ...]) -> None:
    assert Checkpoint(name, Path("any.pt"), RELEASES[name].sha256).names == names


def test_demo_is_known_by_name() -> None:
    checkpoint = resolve(Settings(model="demo"))
    assert checkpoint == Checkpoint("demo", DEMO_PATH, DEMO_SHA256)
    assert checkpoint.is_demo
    assert checkpoint.notice == DEMO_NOTICE
    assert checkpoint.owner == "tiny-openai-whisper-api"
    assert checkpoint.published_name is None


def test_a_path_is_known_by_its_contents(tmp_path: Path) -> None:
    path = tmp_path / "base.pt"
    path.write_bytes(DEMO_PATH.read_bytes())
    checkpoint = resolve(Settings(model=str(path)))
    assert checkpoint == Checkpoint("demo", path, DEMO_SHA256)


def test_unknown_contents_are_named_after_the_file(tmp_path: Path) -> None:
    path = tmp_path / "base.pt"
    path.write_bytes(CONTENTS)
    checkpoint = resolve(Settings(model=str(path)))
    assert checkpoint == Checkpoint("base", path, SHA256)
    assert checkpoint.names == ("base",)
    assert checkpoint.notice is None
    assert checkpoint.owner == "local"
    assert checkpoint.published_name is None


def test_published_contents_are_openais_wherever_they_lie() -> None:
    assert Checkpoint("tiny", Path("mine.pt"), RELEASES["tiny"].sha256).owner == "openai"


def test_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.pt").write_bytes(CONTENTS)
    assert resolve(Settings(model="mine.pt")).path == tmp_path / "mine.pt"


def test_named_model_is_looked_for_in_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "whisper" / "tiny.pt"
    path.parent.mkdir()
    path.write_bytes(CONTENTS)
    with pytest.raises(CheckpointError, match=str(path)):
        resolve(Settings(model="tiny", cache_home=str(tmp_path)))


def test_wrong_contents_under_a_known_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "large-v3-turbo.pt"
    path.write_bytes(CONTENTS)
    with pytest.raises(CheckpointError) as caught:
        resolve(Settings(model="turbo", model_dir=str(tmp_path)))
    message = str(caught.value)
    assert all(part in message for part in (str(path), SHA256, RELEASES["turbo"].sha256, "Delete it"))
    assert "\n" not in message


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("huge", "neither a known model nor a file or folder"),
        ("Turbo", "neither a known model nor a file or folder"),
        ("/nowhere/my.pt", "there is no such file or folder"),
        ("my.pt", "there is no such file"),
    ],
)
def test_unknown_model(model: str, problem: str) -> None:
    with pytest.raises(CheckpointError, match=problem) as caught:
        resolve(Settings(model=model))
    assert "large-v3-turbo, turbo, demo" in str(caught.value)


@pytest.mark.parametrize("model", ["openai/whisper-small", "Systran/faster-whisper-large-v3", "a/b"])
def test_a_hub_id_says_what_to_bring(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        resolve(Settings(model=model))
    message = str(caught.value)
    assert message.startswith(f"WHISPER_MODEL is {model!r}, and there is no such file or folder; nothing is ")
    assert "config.json, generation_config.json, model.safetensors" in message
    assert is_one_sentence(message)
    (tmp_path / model).mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"is a folder without model\.safetensors"):
        resolve(Settings(model=model))


def test_a_file_of_whisper_cpp(tmp_path: Path) -> None:
    path = tmp_path / "ggml-base.bin"
    path.write_bytes(struct.pack("<I", 0x67676D6C) + bytes(100))
    with pytest.raises(CheckpointError) as caught:
        resolve(Settings(model=str(path)))
    assert str(caught.value).startswith(
        f"{path} was made for whisper.cpp, whose format is not read here; bring"
    )
    assert is_one_sentence(str(caught.value))


def test_openai_whispers_format_may_have_any_suffix(tmp_path: Path) -> None:
    (tmp_path / "mine.bin").write_bytes(CONTENTS)
    assert resolve(Settings(model=str(tmp_path / "mine.bin"))).format == "torch"


@pytest.mark.parametrize("name", ["none.safetensors", "none.pt", "none"])
def test_nothing_at_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"can't be read \(No such file or directory\)"):
        found_at(tmp_path / name)


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tiny.pt").mkdir()
    with pytest.raises(CheckpointError, match=r"tiny\.pt can't be read"):
        resolve(Settings(model="tiny", model_dir=str(tmp_path)))


def test_model_dir_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError) as caught:
        resolve(Settings(model="tiny", model_dir=str(tmp_path / "file" / "models")))
    release = RELEASES["tiny"]
    advice = ("Not a directory", release.url, release.sha256, "WHISPER_MODEL=demo")
    assert all(part in str(caught.value) for part in advice)


def test_a_missing_model_is_fetched_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RELEASES, "tiny", Release("tiny.pt", SHA256))
    monkeypatch.setenv("NO_PROXY", "*")
    with running(HubServer(CONTENTS)) as hub:
        settings = Settings(model="tiny", model_dir=str(tmp_path / "models"), hub=f"{hub.url}/mirror/")
        checkpoint = resolve(settings)
        assert resolve(settings) == checkpoint
    assert checkpoint == Checkpoint("tiny", tmp_path / "models" / "tiny.pt", SHA256)
    assert checkpoint.path.read_bytes() == CONTENTS
    assert hub.asked == [(f"/mirror/{SHA256}/tiny.pt", None)]


def test_a_failed_download_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with running(HubServer(CONTENTS)) as hub, pytest.raises(CheckpointError) as caught:
        address = hub.url.replace("://", "://me:hush@")
        resolve(Settings(model="tiny", model_dir=str(tmp_path), hub=address))
    release = RELEASES["tiny"]
    masked = release.url_at(hub.url).replace("://", "://me:***@")
    advice = (
        SHA256,
        release.sha256,
        f"fetch {masked}",
        f"put it at {tmp_path}/tiny.pt",
        "WHISPER_MODEL=demo",
    )
    assert all(part in str(caught.value) for part in advice)
    assert "hush" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_fetching_a_missing_model_is_only_named(tmp_path: Path) -> None:
    settings = Settings(model="tiny", model_dir=str(tmp_path), hub="http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match=rf"checkpoint fetch tiny --to {tmp_path}$"):
        resolve(settings, fetch=False)
    (tmp_path / "tiny.pt").write_bytes(CONTENTS)
    with pytest.raises(CheckpointError, match=SHA256):
        resolve(settings, fetch=False)
