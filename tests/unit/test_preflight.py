"""What is looked at before a port is bound."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.checkpoints import DEMO_PATH, DEMO_SHA256, Checkpoint
from app.errors import StartError
from app.preflight import Preflight, check
from app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint("base", Path("/models/bäse 1.pt"), "ab"),
        Checkpoint("org/mine", Path("/models/mine"), "cd", "ctranslate2", "int8"),
    ],
)
def test_json_gives_the_same_back(checkpoint: Checkpoint) -> None:
    found = Preflight(checkpoint, ("cuda:0", "cpu"))
    assert Preflight.from_json(found.to_json()) == found
    assert "\n" not in found.to_json()


def test_finds_the_demo_model_and_each_device() -> None:
    found = check(Settings(model="demo", devices="cpu, cpu"))
    assert found == Preflight(Checkpoint("demo", DEMO_PATH, DEMO_SHA256), ("cpu", "cpu"))


def test_each_checkpoint_of_the_list_is_checked() -> None:
    found = check(Settings(model="demo", devices="cpu", models=f"a=demo,b={DEMO_PATH};int8,c=a"))
    assert sorted(found.more) == sorted({"demo", str(DEMO_PATH)})
    assert {each.checkpoint.sha256 for each in found.more.values()} == {DEMO_SHA256}
    assert Preflight.from_json(found.to_json()) == found


def test_auto_finds_at_least_one_device() -> None:
    devices = check(Settings(model="demo", devices="auto")).devices
    assert devices == ("cpu",) or all(device.startswith("cuda:") for device in devices)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(model="demo", engine="steam"), "WHISPER_ENGINE is 'steam'"),
        (Settings(model="demo", devices="tpu:7"), "WHISPER_DEVICES is 'tpu:7'"),
        (Settings(model="demo", devices="cpu,cuda:99"), "WHISPER_DEVICES is 'cpu,cuda:99'"),
        (Settings(model="demo", devices=" , "), "WHISPER_DEVICES is ' , '"),
        (Settings(model="huge", devices="cpu"), "WHISPER_MODEL is 'huge'"),
        (
            Settings(model="demo", devices="cpu", models="a=/none.pt"),
            "WHISPER_MODELS, '/none.pt': the checkpo",
        ),
        (Settings(model="demo", devices="cpu", models="a=demo;int4"), "WHISPER_MODELS has the option 'int4'"),
        (Settings(model="demo", devices="cpu", models_preload=("b",)), "WHISPER_MODELS_PRELOAD has 'b'"),
    ],
)
def test_refuses(settings: Settings, message: str) -> None:
    with pytest.raises(StartError, match=message):
        check(settings)


def test_importing_the_application_imports_no_torch() -> None:
    heavy = "{'torch', 'whisper', 'silero_vad', 'onnxruntime'}"
    code = f"import sys, app.preflight, app.runtime, wsgi; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
