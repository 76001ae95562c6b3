"""OpenAI's own weights, over all speech at hand, against openai-whisper.

tiny.en hears the English part, and once all the rest as well, though it knows no other language.
Without SPEECH_SAMPLES this is no human speech: see tests.real.speech.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from whisper import _ALIGNMENT_HEADS
from whisper.model import Whisper

from app.transcript import Transcript
from app.transcription.request import LADDER
from benchmarks.speech import Recording
from tests.oracle.comparison import assert_equal, ours, theirs
from tests.real import speech
from tests.real.conftest import Pairs

pytestmark = [
    pytest.mark.timeout(3_600),
    pytest.mark.filterwarnings(  # openai-whisper's argsort of beams that never ended
        "ignore:__array_wrap__ must accept context:DeprecationWarning"
    ),
]

WORD_SECONDS = 0.02 + 1e-6
"""How far apart the times of a word may be: one step of the model's clock."""

Speech = Callable[[], tuple[Recording, ...]]

CASES: dict[str, dict[str, Any]] = {
    "greedy": {"word_timestamps": True},
    "five beams": {"beam_size": 5},
    "prompt": {
        "prompt": "Sense and Sensibility, by Jane Austen. Mr. Dashwood, Ellen.",
        "word_timestamps": True,
    },
}


def small(*values: Any) -> Any:
    """What CI runs."""
    return pytest.param(*values, marks=pytest.mark.slow)


def whole(*values: Any) -> Any:
    """What is run by hand."""
    return pytest.param(*values, marks=pytest.mark.real)


@pytest.mark.parametrize(
    ("name", "case", "recordings"),
    [
        small("tiny.en", "greedy", speech.english),
        small("tiny.en", "five beams", speech.english),
        small("tiny.en", "prompt", speech.english),
        whole("tiny.en", "greedy", speech.everything),
        *(whole("base", case, speech.everything) for case in CASES),
    ],
)
def test_without_fallback(pairs: Pairs, name: str, case: str, recordings: Speech) -> None:
    """Tokens, text, segments and words are openai-whisper's, whatever is said in whichever language."""
    pair, options = pairs[name], CASES[case]
    found = {
        recording.name: difference(
            lambda samples: ours(pair.engine, samples, **options),
            lambda samples: theirs(pair.model, samples, **options),
            recording.samples,
        )
        for recording in recordings()
    }
    assert different(found) == {}


@pytest.mark.parametrize(
    ("name", "recordings"),
    [
        small("tiny.en", speech.english),
        whole("base", speech.everything),
    ],
)
def test_with_fallback_where_openai_whisper_needs_none(pairs: Pairs, name: str, recordings: Speech) -> None:
    """Above temperature 0 it draws from a generator that is not ours."""
    pair, found = pairs[name], {}
    for recording in recordings():
        with temperatures_of(pair.model) as tried:
            expected = theirs(pair.model, recording.samples, LADDER)
        if set(tried) == {0.0}:
            transcript = ours(pair.engine, recording.samples, LADDER)
            found[recording.name] = difference_of(transcript, expected)
    assert different(found) == {}
    assert len(found) >= len(speech.english()) * 2 / 3


@pytest.mark.parametrize("name", [small("tiny.en"), whole("base")])
def test_a_long_recording(pairs: Pairs, name: str) -> None:
    """In order, with the text before as the prompt."""
    pair, options = pairs[name], {"word_timestamps": True}
    samples = speech.one_after_the_other(speech.english(), least_seconds=65)
    found = difference(
        lambda samples: ours(pair.engine, samples, **options),
        lambda samples: theirs(pair.model, samples, **options),
        samples,
    )
    assert found is None


@pytest.mark.parametrize(
    ("name", "recordings"),
    [
        small("tiny.en", lambda: speech.clips()[:8]),
        whole("base", speech.everything),
    ],
)
def test_eight_at_a_time_equal_each_alone(pairs: Pairs, name: str, recordings: Speech) -> None:
    engine = pairs[name].engine
    options = [CASES[case] for _, case in zip(recordings(), [*CASES] * 99, strict=False)]
    asked = [(recording.samples, each) for recording, each in zip(recordings(), options, strict=True)]
    alone = [as_theirs(ours(engine, samples, **each)) for samples, each in asked]
    with ThreadPoolExecutor(8) as clients:
        together = list(clients.map(lambda each: ours(engine, each[0], **each[1]), asked))
    found = {
        recording.name: difference_of(transcript, expected)
        for recording, transcript, expected in zip(recordings(), together, alone, strict=True)
    }
    assert different(found) == {}


@pytest.mark.parametrize("name", [small("tiny.en"), whole("base")])
def test_the_alignment_heads_are_the_published_ones(pairs: Pairs, name: str) -> None:
    """Those of the folder; openai-whisper knows them by the model's name."""
    published = Whisper(pairs[name].model.dims)
    published.set_alignment_heads(_ALIGNMENT_HEADS[name])
    found = pairs[name].model.alignment_heads.to_dense()
    assert np.array_equal(found, published.alignment_heads.to_dense())


def difference(
    ask_ours: Callable[[Any], Transcript], ask_theirs: Callable[[Any], dict[str, Any]], samples: Any
) -> str | None:
    """What is not equal, if anything; both work at the same time."""
    with ThreadPoolExecutor(1) as background:
        found = background.submit(ask_ours, samples)
        expected = ask_theirs(samples)
        return difference_of(found.result(), expected)


def difference_of(found: Transcript, expected: dict[str, Any]) -> str | None:
    try:
        assert_equal(found, expected, WORD_SECONDS)
    except AssertionError as error:
        return f"{error}\n{found.text!r} instead of {expected['text']!r}"
    return None


def different(found: dict[str, str | None]) -> dict[str, str]:
    assert found
    return {name: difference for name, difference in found.items() if difference is not None}


@contextmanager
def temperatures_of(model: Any) -> Iterator[list[float]]:
    """At which temperatures openai-whisper decodes."""
    tried: list[float] = []
    decode = model.decode

    def watched(mel: Any, options: Any) -> Any:
        tried.append(options.temperature)
        return decode(mel, options)

    model.decode = watched
    try:
        yield tried
    finally:
        del model.decode


def as_theirs(found: Transcript) -> dict[str, Any]:
    """A transcript of ours in openai-whisper's form."""
    segments = [
        {
            **asdict(segment),
            "start": segment.start_seconds,
            "end": segment.end_seconds,
            "tokens": list(segment.tokens),
            "words": [
                {"word": w.text, "start": w.start_seconds, "end": w.end_seconds, "probability": w.probability}
                for w in segment.words
            ],
        }
        for segment in found.segments
    ]
    return {"text": found.text, "language": found.language, "segments": segments}
