"""Listing, fetching and verifying weights."""

import hashlib
import os
import zipfile
from pathlib import Path

import pytest
import torch
import whisper

from app.__main__ import main
from app.checkpoints import DEMO_PATH, DEMO_SHA256, RELEASES, Release, found_at
from tests.foreign_weights import (
    DISTILLED,
    LARGE_V3_HEADS,
    random_model,
    write_ctranslate2,
    write_hugging_face,
)
from tests.hub_server import HubServer, running

CONTENTS = b"weights" * 100_000
SHA256 = hashlib.sha256(CONTENTS).hexdigest()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPER_MODEL_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("NO_PROXY", "*")
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_list_shows_every_file_once(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "tiny.pt").write_bytes(bytes(2**20))
    (folder / "base.pt.part").write_bytes(bytes(2**19))
    (folder / "small.pt").mkdir()
    assert main(["checkpoint", "list"]) == 0
    head, *lines = printed(capsys)
    assert head == f"{folder}:"
    rows = {line[:22].strip(): line[22:].split() for line in lines}
    files = {release.sha256: release.file for release in RELEASES.values()} | {DEMO_SHA256: "demo.pt"}
    assert {row[-1]: row[0] for row in rows.values()} == files
    assert rows["tiny"][1:-1] == ["1.0", "MiB", "WRONG", "SHA256"]
    assert rows["base"][1:-1] == ["0.5", "MiB", "incomplete"]
    assert rows["small"][-2] == "UNREADABLE"
    assert rows["large-v3-turbo, turbo"][1:-1] == ["missing"]
    assert rows["demo"][1:-1] == ["2.2", "MiB", "verified"]


@pytest.mark.parametrize("to", [[], ["--to", "elsewhere"]])
def test_fetch(
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    to: list[str],
) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.setitem(RELEASES, "tiny", Release("tiny.pt", SHA256))
    path = (folder.parent / to[-1] if to else folder) / "tiny.pt"
    with running(HubServer(CONTENTS)) as hub:
        monkeypatch.setenv("WHISPER_HUB", hub.url)
        assert main(["checkpoint", "fetch", "tiny", *to]) == 0
        assert main(["checkpoint", "fetch", "tiny", *to]) == 0
    assert len(hub.asked) == 1
    assert path.read_bytes() == CONTENTS
    lines = printed(capsys)
    assert lines[0] == f"{path} is tiny, its sha256 is right."
    assert f"WHISPER_MODEL=tiny WHISPER_MODEL_DIR={path.parent}" in lines[1]
    assert lines[:2] == lines[2:]


def test_fetch_knows_its_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["checkpoint", "fetch", "huge"])
    assert "'large-v3-turbo', 'turbo'" in capsys.readouterr().err


def test_verify_knows_weights_by_their_contents(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "tiny.pt").write_bytes(DEMO_PATH.read_bytes())
    assert main(["checkpoint", "verify", str(tmp_path / "tiny.pt")]) == 0
    [line] = printed(capsys)
    assert line == f"{tmp_path}/tiny.pt is demo, sha256 {DEMO_SHA256} (demo model, not for human speech)"


def own_weights(path: Path) -> Path:
    """The demo model's with one number changed, as torch.save writes them."""
    held = torch.load(DEMO_PATH, weights_only=True)
    held["model_state_dict"]["encoder.ln_post.bias"][0] += 1
    torch.save(held, path)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_verify_opens_unknown_weights(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, compressed: bool
) -> None:
    path = own_weights(tmp_path / "own.pt")
    if compressed:
        deflate(path)
    assert main(["checkpoint", "verify", str(path)]) == 0
    [line] = printed(capsys)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert line.startswith(
        f"{path} holds unknown weights, sha256 {sha256}; opens with weights_only: n_mels 80"
    )


def deflate(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in entries.items():
            archive.writestr(name, contents)


class Trap:
    """Unpickled without care, it leaves a file behind."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.sign,)


def test_verify_runs_nothing_of_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sign = tmp_path / "sprung"
    torch.save({"dims": {}, "model_state_dict": Trap(sign)}, tmp_path / "own.pt")
    assert main(["checkpoint", "verify", str(tmp_path / "own.pt")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {tmp_path}/own.pt is no Whisper checkpoint (UnpicklingError")
    assert "weights_only" not in error
    assert not sign.exists()
    torch.load(tmp_path / "own.pt", weights_only=False)
    assert sign.exists(), "the trap is none"


@pytest.mark.parametrize("contents", [b"", b"noise" * 99, None])
def test_verify_refuses_what_is_no_checkpoint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, contents: bytes | None
) -> None:
    path = tmp_path / "own.pt"
    if contents is None:
        torch.save({"dims": {"n_mels": 80}, "model_state_dict": {"a": torch.zeros(1)}}, path)
    else:
        path.write_bytes(contents)
    assert main(["checkpoint", "verify", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"Error: {path} is no Whisper checkpoint")


def test_verify_opens_nothing_under_a_published_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own_weights(tmp_path / "large-v3-turbo.pt")
    monkeypatch.setattr(torch, "load", None)
    assert main(["checkpoint", "verify", str(path)]) == 1
    error = capsys.readouterr().err
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert all(part in error for part in (sha256, RELEASES["turbo"].sha256, "was not opened"))


def test_verify_needs_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["checkpoint", "verify", str(tmp_path / "none.pt")]) == 1
    assert "can't be read (No such file" in capsys.readouterr().err


@pytest.fixture
def hugging_face(tmp_path: Path) -> Path:
    return write_hugging_face(tmp_path / "mine", random_model(), torch.float16, LARGE_V3_HEADS)


def quantized(folder: Path) -> Path:
    weights = {name: torch.ones(shape) for name, shape in DISTILLED.shapes().items()}
    return write_ctranslate2(folder, weights, DISTILLED, "int8")


def test_verify_a_folder(capsys: pytest.CaptureFixture[str], hugging_face: Path, tmp_path: Path) -> None:
    assert main(["checkpoint", "verify", str(hugging_face)]) == 0
    assert main(["checkpoint", "verify", str(hugging_face / "model.safetensors")]) == 0
    assert main(["checkpoint", "verify", str(quantized(tmp_path / "int8"))]) == 0
    folder, file, int8 = printed(capsys)
    sizes = "n_mels 128, n_audio_ctx 1500, n_audio_state 32"
    sha256 = found_at(hugging_face).sha256
    assert folder.startswith(
        f"{hugging_face} holds unknown weights, sha256 {sha256}; a Hugging Face model: {sizes}"
    )
    assert f"sha256 {sha256}; a Hugging Face model: {sizes}" in file
    assert f"; a CTranslate2 model: {sizes}" in int8
    assert int8.endswith(" (int8 weights, no longer exact)")


def test_verify_refuses_a_folder(capsys: pytest.CaptureFixture[str], hugging_face: Path) -> None:
    (hugging_face / "model.safetensors").unlink()
    assert main(["checkpoint", "verify", str(hugging_face)]) == 1
    assert capsys.readouterr().err.startswith(f"Error: {hugging_face} is a folder without model.safetensors")


def test_convert(capsys: pytest.CaptureFixture[str], hugging_face: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.pt"
    assert main(["checkpoint", "convert", str(hugging_face), "--to", str(target)]) == 0
    converted, serve = printed(capsys)
    sha256 = hashlib.sha256(target.read_bytes()).hexdigest()
    assert converted == f"{target} holds the weights of {hugging_face}, sha256 {sha256}"
    assert serve == f"Serve it with: make serve WHISPER_MODEL={target}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mine.pt", "models"]
    assert main(["checkpoint", "verify", str(target)]) == 0
    assert whisper.load_model(str(target), device="cpu").dims.n_text_layer == 2


def test_convert_never_overwrites(
    capsys: pytest.CaptureFixture[str], hugging_face: Path, tmp_path: Path
) -> None:
    target = tmp_path / "mine.pt"
    target.write_text("precious")
    assert main(["checkpoint", "convert", str(hugging_face), "--to", str(target)]) == 1
    assert capsys.readouterr().err == f"Error: {target} is there already; delete it or choose another name.\n"
    assert target.read_text() == "precious"


def test_convert_never_overwrites_what_came_meanwhile(
    capsys: pytest.CaptureFixture[str], hugging_face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "mine.pt"
    save = torch.save

    def slow(contents: object, file: object) -> None:
        target.write_text("precious")
        save(contents, file)

    monkeypatch.setattr(torch, "save", slow)
    assert main(["checkpoint", "convert", str(hugging_face), "--to", str(target)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mine.pt", "models"]


def test_convert_where_there_are_no_links(
    hugging_face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    target = tmp_path / "mine.pt"
    assert main(["checkpoint", "convert", str(hugging_face), "--to", str(target)]) == 0
    assert main(["checkpoint", "verify", str(target)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mine.pt", "models"]


def test_convert_refuses(capsys: pytest.CaptureFixture[str], hugging_face: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.pt"
    for path, problem in {
        DEMO_PATH: "a .pt file is served as it is",
        quantized(tmp_path / "int8"): "holds int8 weights, no longer exact, and a .pt file could not tell",
        tmp_path / "none": "can't be read (No such file or directory)",
    }.items():
        assert main(["checkpoint", "convert", str(path), "--to", str(target)]) == 1
        assert problem in capsys.readouterr().err
    assert main(["checkpoint", "convert", str(hugging_face), "--to", str(tmp_path / "none" / "mine.pt")]) == 1
    assert (
        "can't be written (No such file or directory); choose a folder that exists" in capsys.readouterr().err
    )
    assert not target.exists()
