"""Whole recordings in a short context: the batched engine beside openai-whisper's model.

Both give the encoder as few positions. On the demo weights, with the language detected and at temperature 0
alone: above it openai-whisper doesn't repeat itself.
"""

from collections.abc import Iterator

import pytest

from app import engines
from app.checkpoints import resolve
from app.engines.interface import Engine, EngineOptions
from app.request_context import RequestContext
from app.settings import Settings
from app.transcript import Transcript
from app.transcription.request import Policy, TranscriptionRequest
from tests.oracle.recordings import SPOKEN
from tests.transcripts import transcribe

SECONDS = 0.02 + 1e-6
"""How far apart times may be: one step of the model's clock."""
CLOSE = 1e-4

SHORT = ("one sentence", "numbers", "three utterances", "german", "another synthesizer", "speech over noise")
LONG = ("a minute", "two languages", "speech after 40 s of silence")


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Engine, Engine]]:
    """The reference engine and the batched one."""
    options = EngineOptions(threads=1)
    both = [
        engines.start(name, resolve(Settings(model="demo")), "cpu", options)
        for name in ("reference", "batched")
    ]
    yield both[0], both[1]
    for engine in both:
        engine.close()


def heard(engine: Engine, name: str) -> tuple[Transcript, int]:
    """What is heard, and how many windows of it have a short context."""
    request = TranscriptionRequest(audio_context="short", temperatures=(0.0,), word_timestamps=True)
    context = RequestContext.of(600)
    found = transcribe(engine, SPOKEN[name](), request, Policy(), context)
    return found, context.cost.totals().short_contexts


@pytest.mark.parametrize("name", SHORT + LONG)
def test_both_engines_hear_the_same(pair: tuple[Engine, Engine], name: str) -> None:
    (expected, windows), (found, same_windows) = (heard(engine, name) for engine in pair)
    assert (found.text, found.language, same_windows) == (expected.text, expected.language, windows)
    assert found.text
    assert windows > 0
    for ours, theirs in zip(found.segments, expected.segments, strict=True):
        assert ours.tokens == theirs.tokens
        assert ours.seek == theirs.seek
        assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=CLOSE)
        assert [word.text for word in ours.words] == [word.text for word in theirs.words]
        for word, other in zip(ours.words, theirs.words, strict=True):
            assert word.start_seconds == pytest.approx(other.start_seconds, abs=SECONDS)
            assert word.end_seconds == pytest.approx(other.end_seconds, abs=SECONDS)
