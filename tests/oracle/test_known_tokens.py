"""Tokens that are known already: decoding goes on after them as if the model had just said them.

Each text of openai-whisper's is cut at several places, and what comes before the cut is the prefix.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from app import engines
from app.checkpoints import Checkpoint, resolve
from app.engines.interface import EngineOptions, WindowOptions
from app.settings import Settings
from tests.oracle.pairs import CASES, Pair, StartedPairs, near_tie
from tests.oracle.random_checkpoints import write

CLOSE = 1e-4
"""How close two tokens must be for a text to be exempt."""
GREEDY = [name for name, case in CASES.items() if not case.options.beam_size]


def start(size: str, folder: Path) -> Pair:
    checkpoint = resolve(Settings(model="demo"))
    if size != "demo":
        path = folder / f"{size}.pt"
        write(path, size, tokens=24, seed=0)
        checkpoint = Checkpoint(path.stem, path, "0" * 64)
    options = EngineOptions(threads=1, batch=16)
    return Pair(*(engines.start(name, checkpoint, "cpu", options) for name in ("reference", "batched")))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Pair]]:
    started = StartedPairs(partial(start, folder=tmp_path_factory.mktemp("checkpoints")))
    yield started
    started.close()


@pytest.mark.parametrize(
    ("size", "name"),
    [
        *(("demo", name) for name in GREEDY),
        *(pytest.param("tiny", name, marks=pytest.mark.slow) for name in GREEDY),
    ],
)
def test_with_its_own_first_tokens_the_model_says_the_same(
    pairs: dict[str, Pair], size: str, name: str
) -> None:
    """All cuts side by side in one batch."""
    pair, options = pairs[size], CASES[name].options
    expected = pair.expected(name)
    cuts = sorted({1, 2, 3, len(expected.tokens) // 2, len(expected.tokens) - 1, len(expected.tokens)})
    prefixes = [expected.tokens[:cut] for cut in cuts if cut > 0]
    assert prefixes
    futures = [pair.batched.submit(pair.window(name), replace(options, prefix=prefix)) for prefix in prefixes]
    for prefix, future in zip(prefixes, futures, strict=True):
        found = future.result()
        assert found.tokens[: len(prefix)] == prefix
        assert found.tokens == expected.tokens or near_tie(pair, name, found, CLOSE), len(prefix)
        assert found.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=CLOSE)
        if found.tokens == expected.tokens:
            assert found.compression_ratio == expected.compression_ratio


@pytest.mark.parametrize("name", ["five beams", "beams in a short context"])
def test_every_beam_goes_on_after_them(pairs: dict[str, Pair], name: str) -> None:
    pair, options = pairs["demo"], CASES[name].options
    prefix = pair.expected(name).tokens[:4]
    found = pair.batched.submit(pair.window(name), replace(options, prefix=prefix)).result()
    assert found.tokens[: len(prefix)] == prefix
    assert len(found.tokens) > len(prefix)


@pytest.mark.parametrize("temperature", [0.6, 1.0])
def test_samples_go_on_with_their_own_numbers(pairs: dict[str, Pair], temperature: float) -> None:
    pair = pairs["demo"]
    options = WindowOptions(language="en", temperature=temperature, seed=5)
    window = pair.window("plain")
    alone = pair.batched.submit(window, options).result()
    for cut in (1, 4, len(alone.tokens) // 2):
        known = replace(options, prefix=alone.tokens[:cut])
        assert pair.batched.submit(window, known).result().tokens == alone.tokens


def test_other_words_are_taken_as_said(pairs: dict[str, Pair]) -> None:
    pair, options = pairs["demo"], CASES["plain"].options
    tokens = pair.expected("plain").tokens
    begin = pair.batched._model.vocabulary.timestamp_begin
    prefix = (begin, tokens[3], tokens[3])
    found = pair.batched.submit(pair.window("plain"), replace(options, prefix=prefix)).result()
    assert found.tokens[:3] == prefix


@pytest.mark.parametrize("prompt", [(), tuple(range(300))])
@pytest.mark.parametrize("count", [5, 221, 223, 224, 300])
def test_a_text_has_no_more_tokens_than_without(
    pairs: dict[str, Pair], prompt: tuple[int, ...], count: int
) -> None:
    """224, half of the context; with as much text before as fits, 222."""
    pair = pairs["demo"]
    longest = 224 if not prompt else 222
    begin = pair.batched._model.vocabulary.timestamp_begin
    prefix = (begin, *[440 + place % 50 for place in range(count - 1)])
    options = WindowOptions(language="en", prompt=prompt, prefix=prefix)
    found = pair.batched.submit(pair.window("plain"), options).result()
    kept = min(count, longest - 1)
    assert found.tokens[:kept] == prefix[:kept]
    assert len(found.tokens) <= longest


@pytest.mark.parametrize("count", [1, 5])
def test_no_more_tokens_are_decoded_than_asked_for(pairs: dict[str, Pair], count: int) -> None:
    pair, options = pairs["demo"], replace(CASES["plain"].options, sample_len=count)
    tokens = pair.expected("plain").tokens
    window = pair.window("plain")
    assert pair.batched.submit(window, options).result().tokens == tokens[:count]
    assert pair.reference.submit(pair.theirs["plain"].window, options).result().tokens == tokens[:count]
    known = replace(options, prefix=tokens[:3])
    assert pair.batched.submit(window, known).result().tokens == tokens[: 3 + count]


def test_openai_whisper_as_it_is_knows_nothing(pairs: dict[str, Pair]) -> None:
    pair, options = pairs["demo"], CASES["plain"].options
    expected = pair.expected("plain")
    window = pair.theirs["plain"].window
    found = pair.reference.submit(window, replace(options, prefix=expected.tokens[:3])).result()
    assert found == expected
