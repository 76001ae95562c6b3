"""espeak-ng itself, as its package brings it."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app import synthesis
from app.errors import SynthesisFailure, UnsupportedValue
from app.languages import LANGUAGES
from app.synthesis import VOICES
from app.synthesis.espeak import VOICE_PRESETS, Espeak
from app.waveform import Pcm
from tests.processes import children

SENTENCE = "The sun rises in the east and sets in the west."


@pytest.fixture
def espeak() -> Espeak:
    started = synthesis.start("espeak", "")
    assert isinstance(started, Espeak)
    return started


def said(espeak: Espeak, text: str, voice: str = "alloy", **how: object) -> Pcm:
    speech = espeak.speak(text, voice, **how)
    try:
        return np.concatenate(list(speech.blocks))
    finally:
        speech.close()


def speaking() -> list[int]:
    """The process ids of this process's voices."""
    return children(os.getpid(), "espeak_process")


def test_every_voice_sounds_differently(espeak: Espeak) -> None:
    assert tuple(VOICE_PRESETS) == VOICES
    heard = {voice: said(espeak, "Good morning.", voice) for voice in VOICES}
    assert all(np.abs(samples).max() > 3_000 for samples in heard.values())
    assert len({samples.tobytes() for samples in heard.values()}) == len(VOICES)
    pitches = {voice: pitch(samples) for voice, samples in heard.items()}
    assert pitches["onyx"] < 0.7 * pitches["shimmer"]


def pitch(samples: Pcm) -> float:
    """The strongest period between 70 and 350 Hz, in Hz."""
    middle = samples[len(samples) // 4 : len(samples) * 3 // 4].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(middle - middle.mean(), 1 << 18)) ** 2
    echo = np.fft.irfft(spectrum)
    shortest, longest = 22_050 // 350, 22_050 // 70
    return 22_050 / (shortest + int(echo[shortest:longest].argmax()))


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
def test_speed(espeak: Espeak, speed: float) -> None:
    usual = len(said(espeak, SENTENCE))
    assert len(said(espeak, SENTENCE, speed=speed)) == pytest.approx(usual / speed, rel=0.15)


@pytest.mark.parametrize("voice", VOICES)
def test_every_voice_speaks_as_slowly_as_one_may_ask(espeak: Espeak, voice: str) -> None:
    usual = len(said(espeak, "Good morning.", voice))
    assert len(said(espeak, "Good morning.", voice, speed=0.25)) == pytest.approx(4 * usual, rel=0.2)


@pytest.mark.parametrize(
    "text",
    [
        "-v de --help",
        "\x00\x01\x1b[31m",
        "\ud800",
        "שלום עולם",
        "你好世界",
        "</voice><audio src='/etc/passwd'/> [[h@l'oU]]",
        "…",
        "😀",
        "$(reboot) `reboot`; reboot",
        "a" * 4_096,
    ],
)
def test_any_text_is_only_text(espeak: Espeak, text: str) -> None:
    speech = espeak.speak(text, "echo")
    assert sum(len(block) for block in speech.blocks) > 0
    speech.close()
    assert speaking() == []


def test_text_that_looks_like_options_is_spoken(espeak: Espeak) -> None:
    assert len(said(espeak, "-v de --help")) > len(said(espeak, "de"))


def test_a_long_text_begins_before_it_ends(espeak: Espeak) -> None:
    speech = espeak.speak("This is a long story. " * 180, "alloy")
    first = next(speech.blocks)
    assert len(first) / speech.rate < 2
    assert len(speaking()) == 1  # still speaking: the pipe holds less than two seconds
    speech.close()
    assert speaking() == []


def test_what_nobody_reads_is_stopped(espeak: Espeak) -> None:
    for _ in range(20):  # more than speak at a time
        espeak.speak("This is a long story. " * 180, "alloy").close()
    assert speaking() == []


def test_a_language_that_it_does_not_speak(espeak: Espeak) -> None:
    with pytest.raises(UnsupportedValue, match="'bo' is not among") as caught:
        espeak.speak("x", "alloy", language="bo")
    assert caught.value.param == "language"
    assert speaking() == []


@pytest.mark.parametrize("language", ["en", "zh", "no", "nn", "jw", "tl", "yue", "de", "th"])
def test_languages_by_whispers_codes(espeak: Espeak, language: str) -> None:
    assert language in LANGUAGES
    assert len(said(espeak, "1", language=language)) > 2_000


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Espeak]:
    yield Espeak(tmp_path / "no.so", tmp_path)


def test_a_library_that_does_not_load(broken: Espeak) -> None:
    with pytest.raises(SynthesisFailure):
        broken.speak("x", "alloy")
    assert speaking() == []


def test_a_process_that_dies(espeak: Espeak) -> None:
    speech = espeak.speak("This is a long story. " * 180, "alloy")
    next(speech.blocks)
    [pid] = speaking()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(SynthesisFailure, match="to its end"):
        list(speech.blocks)
    speech.close()


def test_a_process_that_hangs(espeak: Espeak, monkeypatch: pytest.MonkeyPatch) -> None:
    speech = espeak.speak("This is a long story. " * 180, "alloy")
    [pid] = speaking()
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr("app.synthesis.espeak._SILENT_SECONDS", 0.5)
    with pytest.raises(SynthesisFailure, match="in time"):
        list(speech.blocks)
    speech.close()
    assert speaking() == []


def test_a_voice_that_is_taken_over_gets_nowhere(espeak: Espeak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_API_KEYS", "sk-secret")
    library, data = map(Path, espeak._command[-2:])
    program = Path(__file__).with_name("break_out.py")
    speech = Espeak(library, data, str(program)).speak("x", "alloy")
    outcomes = json.loads(b"".join(block.tobytes() for block in speech.blocks))
    speech.close()
    assert outcomes.pop("keys") == "False"
    assert len(outcomes) > 20
    assert {name: outcome for name, outcome in outcomes.items() if outcome != "PermissionError"} == {}
