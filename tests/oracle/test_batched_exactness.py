"""The batched engine against openai-whisper, window by window: alone, and side by side in one batch.

On the demo weights and on random weights of OpenAI's dimensions. A window is exempt where two tokens
are so close (1e-4) that the order of a sum decides; there is hardly ever one, and they are counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from whisper.decoding import DecodingTask

from app import engines
from app.checkpoints import Checkpoint, resolve
from app.engines.batched.engine import BatchedEngine
from app.engines.batched.uniform_noise import uniform_noise
from app.engines.interface import WINDOW_FRAMES, EngineOptions, Window, WindowOptions, WindowResult
from app.engines.reference import ReferenceEngine
from app.settings import Settings
from tests.oracle.random_checkpoints import write
from tests.oracle.recordings import RECORDINGS

pytestmark = pytest.mark.filterwarnings(  # openai-whisper's argsort of beams that never ended
    "ignore:__array_wrap__ must accept context:DeprecationWarning"
)

CLOSE = 1e-4
"""What a float may be off, and how close two tokens must be to be exempt."""

PROMPT = tuple((token * 7919) % 40_000 for token in range(1, 400))


@dataclass(frozen=True)
class Case:
    """A window of a recording and how it is decoded."""

    recording: str
    options: WindowOptions
    seek: int = 0
    frames: int = WINDOW_FRAMES


CASES = {
    "plain": Case("one sentence", WindowOptions(language="en")),
    "another language after text": Case("german", WindowOptions(language="de", prompt=PROMPT[:20])),
    "translated": Case("numbers", WindowOptions(task="translate", language="fr", prompt=PROMPT[30:35])),
    "nothing suppressed": Case(
        "three utterances", WindowOptions(language="en", suppress_tokens=(), suppress_blank=False)
    ),
    "more suppressed": Case("a minute", WindowOptions(language="ja", suppress_tokens=(-1, 440, 3310)), 3000),
    "five beams": Case("another synthesizer", WindowOptions(language="en", beam_size=5)),
    "patient beams": Case(
        "held tones", WindowOptions(language="es", beam_size=3, patience=2.0, length_penalty=0.6)
    ),
    "a short window": Case("a minute", WindowOptions(language="en", prompt=PROMPT[:3]), 700, 150),
    "after as much text as fits": Case("noise", WindowOptions(language="en", prompt=PROMPT)),
}
A_FEW = ("another language after text", "five beams", "a short window")
SIZES = [
    *(("demo", name) for name in CASES),
    *(("tiny", name) for name in CASES),
    *(("base", name) for name in A_FEW),
]
BASE = pytest.mark.slow
"""What the size adds to `tiny` is time, most of all."""


def marked(*cases: tuple[str, str]) -> list[Any]:
    """Cases for parametrize, of which those of the largest size are slow."""
    return [pytest.param(*case, marks=BASE if case[0] == "base" else ()) for case in cases]


TOKENS = {"tiny": 24, "base": 36}
"""After how many tokens texts on random weights may end."""


class Held:
    """A case's window on one engine; as long as it is held, its features are."""

    def __init__(self, engine: Any, case: Case) -> None:
        recording = engine.open(RECORDINGS[case.recording]())
        frames = min(case.frames, recording.frames - case.seek)
        self.window = Window(recording, case.seek, frames)


@dataclass
class Pair:
    """The oracle and the engine under test, on the same weights."""

    reference: ReferenceEngine
    batched: BatchedEngine
    theirs: dict[str, Held] = field(default_factory=dict)
    ours: dict[str, Held] = field(default_factory=dict)
    answers: dict[str, WindowResult] = field(default_factory=dict)

    def expected(self, name: str) -> WindowResult:
        """What openai-whisper says to a case."""
        if name not in self.answers:
            window = self.theirs.setdefault(name, Held(self.reference, CASES[name])).window
            self.answers[name] = self.reference.submit(window, CASES[name].options).result()
        return self.answers[name]

    def window(self, name: str) -> Window:
        """A case's window on the batched engine."""
        if name not in self.ours:
            self.ours[name] = Held(self.batched, CASES[name])
        return self.ours[name].window

    @cached_property
    def model(self) -> Any:
        """openai-whisper's own."""
        return self.reference._model

    def close(self) -> None:
        self.reference.close()
        self.batched.close()


def start(size: str, folder: Path, tokens: int | None = None, seed: int = 0) -> Pair:
    checkpoint = resolve(Settings(model="demo"))
    if size != "demo":
        path = folder / f"{size}-{seed}.pt"
        write(path, size, TOKENS[size] if tokens is None else tokens, seed)
        checkpoint = Checkpoint(path.stem, path, "0" * 64)
    options = EngineOptions(threads=1, batch=16)
    return Pair(*(engines.start(name, checkpoint, "cpu", options) for name in ("reference", "batched")))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Pair]]:
    started: dict[str, Pair] = {}
    folder = tmp_path_factory.mktemp("checkpoints")

    class Started(dict[str, Pair]):
        def __missing__(self, size: str) -> Pair:
            started[size] = self[size] = start(size, folder)
            return started[size]

    yield Started()
    for pair in started.values():
        pair.close()


@pytest.fixture(scope="module")
def exempt(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Where texts parted at a near tie: reported at the end, and few."""
    found: list[str] = []
    yield found
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nexempt as near ties: {len(found)} {found}")
    assert len(found) <= 6


def near_tie(pair: Pair, name: str, found: WindowResult) -> bool:
    """Whether the two texts part where openai-whisper itself is undecided."""
    expected, options = pair.expected(name), CASES[name].options
    if options.beam_size:
        return abs(expected.avg_logprob - found.avg_logprob) < CLOSE
    task = DecodingTask(pair.model, pair.reference._decoding_options(options))
    eot = task.tokenizer.eot
    theirs, ours = (*expected.tokens, eot), (*found.tokens, eot)
    same = next(place for place, pair_ in enumerate(zip(theirs, ours, strict=False)) if len(set(pair_)) > 1)
    tokens = torch.tensor([[*task.initial_tokens, *theirs[:same]]])
    with torch.no_grad():
        features = pair.reference._encode(pair.theirs[name].window)[None]
        logits = pair.model.logits(tokens, features)[:, -1].double()
    text = slice(0, task.tokenizer.timestamp_begin)
    logits[:, text] += 1e6  # so that the rule which prefers times never applies
    for rule in task.logit_filters:
        rule.apply(logits, tokens)
    logits[:, text] -= 1e6
    times = logits[0, task.tokenizer.timestamp_begin :].logsumexp(-1)
    undecided_on_time = abs(times - logits[0, text].max()) < CLOSE
    return bool(undecided_on_time or abs(logits[0, theirs[same]] - logits[0, ours[same]]) < CLOSE)


def same(pair: Pair, name: str, found: WindowResult) -> bool:
    """Check a case's answer; False if it is exempt."""
    expected = pair.expected(name)
    assert found.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=CLOSE)
    if found.tokens != expected.tokens:
        assert near_tie(pair, name, found), (name, found.tokens, expected.tokens)
        return False
    assert found.avg_logprob == pytest.approx(expected.avg_logprob, abs=CLOSE)
    assert found.compression_ratio == expected.compression_ratio
    assert found.temperature == expected.temperature
    return True


@pytest.mark.parametrize(("size", "name"), marked(*SIZES))
def test_alone(pairs: dict[str, Pair], size: str, name: str, exempt: list[str]) -> None:
    pair = pairs[size]
    found = pair.batched.submit(pair.window(name), CASES[name].options).result()
    if not same(pair, name, found):
        exempt.append(f"{size}, {name}")


@pytest.mark.parametrize("size", ["demo", "tiny", pytest.param("base", marks=BASE)])
def test_side_by_side(pairs: dict[str, Pair], size: str, exempt: list[str]) -> None:
    """All at once, one of them twice: prompts, lengths and searches of every kind in one batch."""
    pair = pairs[size]
    names = [name for of, name in SIZES if of == size]
    names += names[:1] if size != "base" else names
    futures = [pair.batched.submit(pair.window(name), CASES[name].options) for name in names]
    for name, future in zip(names, futures, strict=True):
        if not same(pair, name, future.result()):
            exempt.append(f"{size}, {name}, side by side")


@pytest.mark.parametrize("size", ["tiny", pytest.param("base", marks=BASE)])
def test_random_weights_say_something(pairs: dict[str, Pair], size: str) -> None:
    """Else the tests above would show nothing: many contexts, and other texts to other sounds."""
    pair = pairs[size]
    texts = [pair.expected(name).tokens for name in CASES if (size, name) in SIZES]
    assert len(set(texts)) == len(texts)
    assert len({token for text in texts for token in text}) > 4 * len(texts)
    assert len(set(map(len, texts))) > len(texts) // 2


@pytest.mark.parametrize(
    ("size", "name"), marked(("demo", "plain"), ("tiny", "translated"), ("base", "a short window"))
)
def test_logits(pairs: dict[str, Pair], size: str, name: str) -> None:
    """Teacher-forced, at every place of prompt and text."""
    pair, case = pairs[size], CASES[name]
    window = pair.window(name)
    prompt = pair.batched._runner._prompt(case.options)
    tokens = [*prompt, *pair.expected(name).tokens]

    def prefill() -> torch.Tensor:
        decoder = pair.batched._runner.decoder
        return decoder.logits(decoder.prefill(tokens, pair.batched._runner.windows.cross_kv(window)))

    found = pair.batched._submit(window.recording, prefill).result()
    with torch.no_grad():
        features = pair.reference._encode(pair.theirs[name].window)[None]
        expected = pair.model.logits(torch.tensor([tokens]), features)[0]
    assert (found - expected).abs().max() < CLOSE


@pytest.mark.parametrize(
    ("size", "name"), marked(*(case for case in SIZES if case[1] != "after as much text as fits"))
)
def test_scores(pairs: dict[str, Pair], size: str, name: str) -> None:
    pair, options = pairs[size], CASES[name].options
    tokens = pair.expected(name).tokens
    expected = pair.reference.score(pair.theirs[name].window, options, tokens).result()
    found = pair.batched.score(pair.window(name), options, tokens).result()
    assert found == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("name", ["plain", "another language after text", "a short window"])
@pytest.mark.parametrize("size", ["demo", "tiny"])
def test_languages(pairs: dict[str, Pair], size: str, name: str) -> None:
    pair = pairs[size]
    pair.expected(name)
    expected = pair.reference.detect_language(pair.theirs[name].window).result()
    found = pair.batched.detect_language(pair.window(name)).result()
    assert found == pytest.approx(expected, abs=1e-5)
    assert list(found) == list(expected)


@pytest.mark.parametrize(
    ("size", "name"),
    [("demo", "plain"), ("demo", "a short window"), ("tiny", "plain"), ("tiny", "nothing suppressed")],
)
def test_alignment(pairs: dict[str, Pair], size: str, name: str) -> None:
    pair, options = pairs[size], CASES[name].options
    eot = pair.batched._model.vocabulary.eot
    tokens = [token for token in pair.expected(name).tokens if token < eot]
    asked = (tokens, options.language, options.task)
    expected = pair.reference.align(pair.theirs[name].window, *asked).result()
    found = pair.batched.align(pair.window(name), *asked).result()
    assert [(word.text, word.tokens) for word in found] == [(word.text, word.tokens) for word in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.start_seconds == pytest.approx(theirs.start_seconds, abs=0.0201)
        assert ours.end_seconds == pytest.approx(theirs.end_seconds, abs=0.0201)
        assert ours.probability == pytest.approx(theirs.probability, abs=CLOSE)


def undecided_draw(pair: Pair, name: str, options: WindowOptions, texts: list[tuple[int, ...]]) -> bool:
    """Whether two texts part where the drawn number lies between their tokens, to rounding.

    Random weights give 50,000 tokens about the same chance, so there a sum's last digits may decide.
    """
    task = DecodingTask(pair.model, pair.reference._decoding_options(options))
    eot = task.tokenizer.eot
    first, second = ((*text, eot) for text in texts)
    parted = next(place for place, both in enumerate(zip(first, second, strict=False)) if len(set(both)) > 1)
    tokens = torch.tensor([[*task.initial_tokens, *first[:parted]]])
    pair.expected(name)
    with torch.no_grad():
        features = pair.reference._encode(pair.theirs[name].window)[None]
        logits = pair.model.logits(tokens, features)[:, -1]
    for rule in task.logit_filters:
        rule.apply(logits, tokens)
    cumulated = (logits[0].double() / options.temperature).softmax(-1).cumsum(-1)
    number = uniform_noise(pair.window(name), options, 1, 224)[0, parted]
    lower, upper = sorted((first[parted], second[parted]))
    borders = cumulated[[lower, upper - 1]]  # where the one ends and the other begins
    return bool((borders - number).abs().max() < 1e-5)


@pytest.mark.parametrize(("size", "best_of"), [("demo", None), ("demo", 5), ("tiny", None)])
def test_samples_are_the_same_alone_and_in_any_company(
    pairs: dict[str, Pair], size: str, best_of: int | None, exempt: list[str]
) -> None:
    pair = pairs[size]
    options = WindowOptions(language="en", temperature=0.8, best_of=best_of, seed=3)
    names = ["plain", "translated", "a short window"]
    alone = {name: pair.batched.submit(pair.window(name), options).result() for name in names}
    assert len({result.tokens for result in alone.values()}) == len(names)
    company = [
        pair.batched.submit(pair.window("five beams"), CASES["five beams"].options),
        pair.batched.submit(pair.window("plain"), replace(options, temperature=1.0, best_of=None)),
    ]
    together = {name: pair.batched.submit(pair.window(name), options) for name in reversed(names)}
    for name, future in together.items():
        found = future.result()
        if found.tokens == alone[name].tokens:
            assert found.avg_logprob == pytest.approx(alone[name].avg_logprob, abs=CLOSE)
        else:
            assert size != "demo"
            assert undecided_draw(pair, name, options, [found.tokens, alone[name].tokens])
            exempt.append(f"{size}, {name}, sampled")
    assert all(future.result().tokens for future in company)


@pytest.mark.parametrize("size", ["demo", "tiny"])
def test_samples_differ_by_seed(pairs: dict[str, Pair], size: str) -> None:
    pair = pairs[size]
    window = pair.window("plain")
    options = WindowOptions(language="en", temperature=1.0)
    futures = [pair.batched.submit(window, replace(options, seed=seed)) for seed in range(4)]
    assert len({future.result().tokens for future in futures}) > 1


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", ["tiny", "base"])
def test_long_texts(size: str, seed: int, tmp_path: Path, exempt: list[str]) -> None:
    """A hundred tokens and more of every kind, alone and side by side."""
    pair = start(size, tmp_path, tokens=100, seed=seed)
    try:
        alone = [
            (name, pair.batched.submit(pair.window(name), CASES[name].options).result()) for name in CASES
        ]
        futures = [(name, pair.batched.submit(pair.window(name), CASES[name].options)) for name in CASES]
        together = [(name, future.result()) for name, future in futures]
        parted = [name for name, found in [*alone, *together] if not same(pair, name, found)]
    finally:
        pair.close()
    assert len(parted) <= 2
    exempt.extend(parted)
