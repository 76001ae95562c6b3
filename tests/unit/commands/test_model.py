"""Devices, checkpoint and sample, without an engine; the functional tests try a real one."""

from pathlib import Path
from typing import Any

import pytest
import torch

from app.checkpoints import DEMO_PATH, DEMO_SHA256, Checkpoint
from app.commands import model
from app.settings import Settings
from tests.foreign_weights import DISTILLED, write_ctranslate2

DEMO = Checkpoint("demo", DEMO_PATH, DEMO_SHA256)
OWN = Checkpoint("mine", Path("mine.pt"), "ab" * 32)


def rows(**settings: Any) -> dict[str, tuple[str, str]]:
    return {row.name: (row.state, row.finding) for row in model.check(Settings(**settings))}


def test_no_device_no_sample() -> None:
    found = rows(model="demo", devices="cpu,tpu:7")
    assert found["devices"][0] == "FAIL"
    assert "this machine's devices" in found["devices"][1]
    assert found["checkpoint"][0] == "WARN"
    assert "not for human speech" in found["checkpoint"][1]
    assert found["sample"] == ("WARN", "not tried without a device and a checkpoint")


def test_no_checkpoint_no_sample(tmp_path: Path) -> None:
    found = rows(model="turbo", model_dir=str(tmp_path), devices="cpu")
    assert found["devices"] == ("OK", "cpu: a worker each, engine batched")
    assert found["checkpoint"][0] == "FAIL"
    assert f"checkpoint fetch turbo --to {tmp_path}" in found["checkpoint"][1]
    assert found["sample"][0] == "WARN"
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_no_longer_exact(tmp_path: Path) -> None:
    weights = {name: torch.ones(shape) for name, shape in DISTILLED.shapes().items()}
    folder = write_ctranslate2(tmp_path / "mine", weights, DISTILLED, "int8")
    state, found = rows(model=str(folder), devices="tpu:7")["checkpoint"]
    assert state == "WARN"
    assert f"mine at {folder}, sha256 " in found
    assert found.endswith("; int8 weights, no longer exact")


def test_a_short_context_is_named() -> None:
    found = rows(model="none.pt", devices="cpu", context="short")
    assert found["devices"] == ("OK", "cpu: a worker each, engine batched, short audio context, not exact")


def test_each_model_of_the_list_has_a_row(tmp_path: Path) -> None:
    (tmp_path / "torn.pt").write_bytes(DEMO_PATH.read_bytes()[:100_000])
    listed = f"good=demo;int8,torn={tmp_path}/torn.pt,none={tmp_path}/none.pt"
    found = [
        (row.state, row.finding)
        for row in model.check(Settings(model="demo", models=listed, devices="tpu:7"))
        if row.name == "models"
    ]
    assert [state for state, _ in found] == ["OK", "FAIL", "FAIL"]
    assert found[0][1] == f"good: demo at {DEMO_PATH}, int8"
    assert found[1][1].startswith("torn: ") and "no Whisper checkpoint" in found[1][1]
    assert found[2][1].startswith(f"none: WHISPER_MODELS, '{tmp_path}/none.pt': ")


@pytest.mark.parametrize(
    ("listed", "ahead", "finding"),
    [
        ("a=demo;int4", (), "WHISPER_MODELS has the option 'int4'"),
        ("a=demo", ("b",), "WHISPER_MODELS_PRELOAD has 'b'"),
    ],
)
def test_a_list_that_can_t_be_read(listed: str, ahead: tuple[str, ...], finding: str) -> None:
    state, told = rows(model="demo", devices="tpu:7", models=listed, models_preload=ahead)["models"]
    assert state == "FAIL"
    assert told.startswith(finding)


def test_no_such_engine() -> None:
    assert rows(model="demo", engine="steam")["devices"] == ("FAIL", "WHISPER_ENGINE is 'steam'")


def test_a_model_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        closed = False

        def __init__(self, settings: Settings) -> None:
            """Take them."""

        def start(self, device: str, checkpoint: Checkpoint) -> None:
            raise RuntimeError(f"out of memory on {device}")

        def close(self) -> None:
            Broken.closed = True

    monkeypatch.setattr(model, "Runtime", Broken)
    row = model.sample(Settings(), DEMO, "cuda:0")
    assert (row.state, row.finding) == ("FAIL", "RuntimeError: out of memory on cuda:0")
    assert Broken.closed


@pytest.mark.parametrize(
    ("checkpoint", "text", "state"),
    [(DEMO, model.SAMPLE_TEXT, "OK"), (DEMO, "The sun sets.", "FAIL"), (OWN, "The sun sets.", "OK")],
)
def test_only_the_demo_model_must_hear_every_word(checkpoint: Checkpoint, text: str, state: str) -> None:
    row = model._sample_row(checkpoint, text, 4.0, 1.0)
    assert row.state == state
    assert "4.0 s of speech in 1.0 s" in row.finding
    assert "real-time factor 0.25" in row.finding
