"""Which synthesizer is started, and what happens without one."""

import sys
from pathlib import Path

import pytest

from app import synthesis
from app.errors import SpeechUnavailable, StartError


def test_espeak_is_there() -> None:
    assert synthesis.start("espeak", "").name == "espeak"


@pytest.mark.parametrize(
    ("name", "package", "advice"),
    [
        ("espeak", "espeakng_loader", "pip install -r requirements.txt"),
        ("piper", "piper", "pip install -r requirements-piper.txt"),
    ],
)
def test_what_is_missing_is_said_when_somebody_asks(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str, advice: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    silent = synthesis.start(name, "")
    assert silent.name == ""
    with pytest.raises(SpeechUnavailable, match=advice):
        silent.speak("Hello.", "alloy")


def test_an_unknown_synthesizer_stops_the_start() -> None:
    with pytest.raises(
        StartError, match=r"SPEECH_ENGINE is 'festival'; it must be one of 'espeak' and 'piper'"
    ):
        synthesis.start("festival", "")


@pytest.mark.parametrize(
    ("voice_file", "message"),
    [
        ("", "set SPEECH_VOICE to a voice file"),
        ("/nowhere/voice.onnx", r"/nowhere/voice\.onnx\.json can't be read \(No such file"),
    ],
)
def test_piper_without_its_voice_stops_the_start(voice_file: str, message: str) -> None:
    with pytest.raises(StartError, match=message):
        synthesis.start("piper", voice_file)


def test_piper_with_another_file_stops_the_start(tmp_path: Path) -> None:
    voice = tmp_path / "voice.onnx"
    voice.write_bytes(b"no voice")
    voice.with_suffix(".onnx.json").write_text("{}")
    with pytest.raises(StartError, match="is no voice of piper's"):
        synthesis.start("piper", str(voice))
