"""Searches over tokens against openai-whisper's decoders, both fed the same invented log-probabilities."""

import zlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from whisper.decoding import BeamSearchDecoder, GreedyDecoder, MaximumLikelihoodRanker

from app.engines.batched.beam import BeamSearch, Candidates, Hypothesis, Sampling, Search, best_hypothesis

VOCABULARY = 24
EOT = 20
START = 23


class Language:
    """Logits of the next token after any tokens; some are forbidden, and texts end sooner or later."""

    def __init__(self, seed: int, towards_end: float) -> None:
        self._seed = seed
        self._towards_end = towards_end
        self._known: dict[tuple[int, ...], Tensor] = {}

    def logits(self, tokens: tuple[int, ...]) -> Tensor:
        """`[vocabulary]`."""
        if tokens not in self._known:
            self._known[tokens] = self._invented(tokens)
        return self._known[tokens].clone()

    def _invented(self, tokens: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(zlib.crc32(repr((self._seed, tokens)).encode()))
        logits = torch.randn(VOCABULARY, generator=generator) * 1.5
        logits[torch.rand(VOCABULARY, generator=generator) < 0.3] = float("-inf")
        logits[:7] = torch.randn(7, generator=generator)  # never fewer than any beam looks at
        logits[EOT] += self._towards_end + 0.3 * len(tokens)
        return logits


class NoInference:
    def rearrange_kv_cache(self, source_indices: list[int]) -> None:
        """Nothing is cached."""


def ours(search: Search, language: Language) -> list[Hypothesis]:
    """Drive a search as the batch does: each row continues the one that its continuation names."""
    rows: list[tuple[int, ...]] = [()] * search.rows
    while rows:
        continuations = search.advance([candidates(language.logits(row), search.rows + 1) for row in rows])
        rows = [(*rows[each.source], each.token) for each in continuations]
    return search.hypotheses()


def candidates(logits: Tensor, width: int) -> Candidates:
    logprobs = logits.log_softmax(-1)
    found, tokens = logprobs.topk(width)
    return Candidates(int(logits.argmax()), float(logprobs.max()), tokens.tolist(), found.tolist())


def theirs(decoder: Any, rows: int, longest: int, language: Language) -> list[Hypothesis]:
    """openai-whisper's main loop without a model; what it leaves after the end token is cut off."""
    tokens, sums = torch.full((rows, 1), START), torch.zeros(rows)
    decoder.reset()
    for _ in range(longest):
        logits = torch.stack([language.logits(tuple(row[1:])) for row in tokens.tolist()])
        tokens, completed = decoder.update(tokens, logits, sums)
        if completed:
            break
    found, totals = decoder.finalize(tokens[None], sums[None])
    texts = [tuple(text.tolist()[1:]) for text in found[0]]
    return [Hypothesis(text[: text.index(EOT)], total) for text, total in zip(texts, totals[0], strict=True)]


def assert_same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [hypothesis.tokens for hypothesis in found] == [hypothesis.tokens for hypothesis in expected]
    assert [h.sum_logprob for h in found] == pytest.approx([h.sum_logprob for h in expected], abs=1e-4)


@pytest.mark.filterwarnings(
    "ignore:__array_wrap__ must accept context:DeprecationWarning"
)  # whisper's argsort
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 6),
    patience=st.sampled_from([None, 0.5, 1.0, 1.7, 2.5]),
    longest=st.sampled_from([1, 3, 12]),
    towards_end=st.sampled_from([-3.0, 0.0, 2.0]),
)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_beams(seed: int, rows: int, patience: float | None, longest: int, towards_end: float) -> None:
    if round(rows * (patience or 1.0)) == 0:
        rows = 2
    language = Language(seed, towards_end)
    decoder = BeamSearchDecoder(rows, EOT, NoInference(), patience)
    found = ours(BeamSearch(rows, EOT, longest, patience), language)
    assert_same(found, theirs(decoder, rows, longest, language))


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 4), longest=st.sampled_from([1, 2, 15]))
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_greedy(seed: int, rows: int, longest: int) -> None:
    language = Language(seed, towards_end=0.0)
    found = ours(Sampling(rows, EOT, longest), language)
    assert_same(found, theirs(GreedyDecoder(0.0, EOT), rows, longest, language))


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    penalty=st.sampled_from([None, 0.0, 0.3, 1.0]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_the_best(lengths: list[int], penalty: float | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = [Hypothesis((1,) * length, float(-rng.random() * length)) for length in lengths]
    tokens = [[torch.tensor(hypothesis.tokens) for hypothesis in found]]
    ranked = MaximumLikelihoodRanker(penalty).rank(tokens, [[h.sum_logprob for h in found]])
    assert best_hypothesis(found, penalty) is found[ranked[0]]


def test_an_empty_text_has_a_score() -> None:
    assert best_hypothesis([Hypothesis((), -1.0), Hypothesis((1, 2), -9.0)], None).tokens == (1, 2)


def test_samples_end_one_by_one_and_the_others_keep_their_places() -> None:
    search = Sampling(3, EOT, max_tokens=3)

    def step(*tokens: int) -> list[tuple[int, int]]:
        return [tuple(move) for move in search.advance([Candidates(token, -1.0, (), ()) for token in tokens])]

    assert step(1, 2, 3) == [(0, 1), (1, 2), (2, 3)]
    assert step(4, EOT, 5) == [(0, 4), (2, 5)]
    assert step(6, 7) == []
    assert search.hypotheses() == [
        Hypothesis((1, 4, 6), -3.0),
        Hypothesis((2,), -2.0),
        Hypothesis((3, 5, 7), -3.0),
    ]
