"""The rows that the model card's table is made of."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from training.evaluate import Run, measure, sounds_without_speech
from training.evaluation_sets import SpeechMaker, Spoken, with_white_noise


def model_saying(text: str) -> Any:
    result = {"text": " " + text, "language": "en", "segments": [{"avg_logprob": -0.25}]}
    return SimpleNamespace(transcribe=lambda samples, fp16, **options: result)


@pytest.mark.parametrize(
    ("heard", "row"),
    [
        ("Hello world.", "| x | 1 | 0.0% | 1/1 | 1/1 | 1/1 | -0.25 / -0.25 |"),
        ("hello word", "| x | 1 | 50.0% | 0/1 | 1/1 | 1/1 | -0.25 / -0.25 |"),
    ],
)
def test_a_row(heard: str, row: str) -> None:
    spoken = [Spoken(np.zeros(16_000, np.float32), ("Hello world.",))]
    assert measure(model_saying(heard), Run("x", spoken, {})) == row


def test_translations_are_compared_with_the_translation() -> None:
    spoken = Spoken(np.zeros(16_000, np.float32), ("Hallo Welt.",), "de", "Hello world.")
    assert Run("x", [spoken], {}, translated=True).expected(spoken) == "Hello world."


def test_sentences_are_not_those_trained_on() -> None:
    trained = {SpeechMaker(set(), seed=1).unseen_sentence()}
    assert SpeechMaker(trained, seed=1).unseen_sentence() not in trained


def test_several_sentences_lie_one_after_the_other() -> None:
    spoken = SpeechMaker(set(), seed=1).several(3)
    assert len(spoken.sentences) == 3
    assert spoken.text == " ".join(spoken.sentences)
    assert len(spoken.samples) > 3 * 0.3 * 16_000


def test_noise_lies_so_far_under_the_speech() -> None:
    speech = np.sin(np.arange(16_000, dtype=np.float32))
    noise = with_white_noise(Spoken(speech, ("x",)), decibels=20).samples - speech
    assert 10 * np.log10((speech**2).mean() / (noise**2).mean()) == pytest.approx(20, abs=0.5)


def test_sounds_without_speech_are_float32() -> None:
    assert {sound.dtype for sound in sounds_without_speech().values()} == {np.dtype(np.float32)}
