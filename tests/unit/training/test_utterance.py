"""The alignments that synthesizers give."""

import numpy as np
import pytest

from training.espeak import Espeak, Voice, word_starts
from training.flite import Phone, WordTime
from training.utterance import Utterance, from_espeak, from_flite, spoken_span, spread_merged


def utterance(text: str) -> Utterance:
    made = from_espeak(Espeak().speak(text, Voice("en-us")), text, "en", "en-us")
    assert made is not None
    return made


def test_word_times_from_espeak_are_in_order_and_inside() -> None:
    spoken = utterance("The sun rises in the east and sets in the west.")
    times = [time for word in spoken.words or [] for time in (word.start, word.end)]
    assert [word.word for word in spoken.words or []] == spoken.text.split()
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= spoken.frames / 100
    assert spoken.mel.shape == (spoken.frames, 80)
    assert spoken.phonemes


def test_an_unknown_voice_is_refused() -> None:
    with pytest.raises(ValueError, match="no voice 'nobody'"):
        Espeak().speak("Hello.", Voice("nobody"))


def test_speech_without_a_first_word_time_is_left_out() -> None:
    speech = Espeak().speak("Hello world.", Voice("en-us"))
    speech.word_starts.clear()
    assert from_espeak(speech, "Hello world.", "en", "en-us") is None


def test_word_starts_by_character_position() -> None:
    assert word_starts("one two six", [(1, 0.0), (5, 0.4), (9, 0.7), (9, 0.8)]) == {0: 0.0, 1: 0.4, 2: 0.7}


def test_merged_words_share_their_span_by_letters() -> None:
    starts = spread_merged(["of", "them", "all"], {0: 1.0, 2: 2.2}, end=3.0)
    assert starts == pytest.approx([1.0, 1.4, 2.2])


def test_silence_has_an_empty_span() -> None:
    assert len(spoken_span(np.zeros(16_000)).cut(np.zeros(16_000))) < 1000


def test_flite_words_without_matching_phones_have_no_times() -> None:
    samples = np.ones(16_000, np.float32)
    assert from_flite(samples, [Phone("x", 0.0, 1.0)], "Hello world.", "kal").words is None


def test_flite_word_times() -> None:
    phones = [Phone("pau", 0.0, 0.2), Phone("ay", 0.2, 0.5), Phone("pau", 0.5, 0.6)]
    assert from_flite(np.ones(16_000, np.float32), phones, "I.", "kal").words == [WordTime("I.", 0.2, 0.5)]
