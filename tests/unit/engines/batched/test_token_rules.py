"""Whole-batch token rules against openai-whisper's logit filters, which go row by row."""

import ast
import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from whisper.decoding import ApplyTimestampRules, GreedyDecoder, SuppressBlank, SuppressTokens

from app.engines.batched import token_rules
from app.engines.batched.token_rules import RowStates, Vocabulary, top_k_tokens

SMALL = Vocabulary(eot=12, timestamp_begin=18, no_timestamps=17, size=40, max_initial_timestamp=5)
REAL = Vocabulary(50257, 50364, 50363, 51865, 50)
CPU = torch.device("cpu")
BEGIN = 4
"""Prompt tokens before those that are sampled."""


def states(
    vocabulary: Vocabulary, histories: list[list[int]], suppressed: list[list[int]], known: int = 0
) -> RowStates:
    """Rows that have sampled these histories, noted a column at a time as the batch does.

    The first `known` tokens were not sampled, but known at the start.
    """
    found = RowStates(len(histories) + 2, vocabulary, 32, CPU)
    for row, tokens in enumerate(suppressed):
        mask = torch.zeros(vocabulary.size)
        mask[tokens] = float("-inf")
        prefix = histories[row][:known]
        found.start(row, mask, 0.0, torch.zeros(32, dtype=torch.float64), prefix)
    for place in range(known, max(map(len, histories))):
        rows = [row for row, history in enumerate(histories) if place < len(history)]
        found.append(torch.tensor(rows), torch.tensor([histories[row][place] for row in rows]))
    return found


def filtered(vocabulary: Vocabulary, logits: Tensor, history: list[int], suppressed: list[int]) -> Tensor:
    """openai-whisper's filters on one row's logits `[1, vocabulary]`."""
    tokenizer: Any = SimpleNamespace(
        eot=vocabulary.eot,
        timestamp_begin=vocabulary.timestamp_begin,
        no_timestamps=vocabulary.no_timestamps,
        encode=lambda text: [3],
    )
    logits, tokens = logits.clone(), torch.tensor([[0] * BEGIN + history])
    SuppressBlank(tokenizer, BEGIN).apply(logits, tokens)
    SuppressTokens(suppressed).apply(logits, tokens)
    ApplyTimestampRules(tokenizer, BEGIN, vocabulary.max_initial_timestamp).apply(logits, tokens)
    return logits


def assert_same(
    vocabulary: Vocabulary,
    logits: Tensor,
    histories: list[list[int]],
    suppressed: list[list[int]],
    known: int = 0,
) -> None:
    rows = slice(0, len(histories))
    found, rules = logits.clone(), states(vocabulary, histories, suppressed, known)
    rules.apply_logit_filters(found, rows)
    chosen = rules.select_tokens(found, rows, sample=False, candidate_count=3)
    decoder = GreedyDecoder(0.0, vocabulary.eot)
    for row, history in enumerate(histories):
        expected = filtered(vocabulary, logits[row : row + 1], history, suppressed[row])
        assert torch.equal(found[row], expected[0]), (row, history)
        tokens, sums = torch.zeros(1, 1, dtype=torch.long), torch.zeros(1)
        tokens, _ = decoder.update(tokens, expected, sums)
        assert chosen.tokens[row] == tokens[0, -1]
        assert torch.allclose(chosen.logprobs[row], sums[0], atol=1e-5, equal_nan=True)
        assert chosen.candidates is not None
        assert chosen.candidate_logprobs is not None
        best, indices = expected[0].log_softmax(-1).topk(3)
        finite = torch.isfinite(best)  # which forbidden token comes first means nothing
        assert torch.equal(chosen.candidates[row][finite], indices[finite])
        assert torch.allclose(chosen.candidate_logprobs[row][finite], best[finite], atol=1e-5)


TOKENS = st.one_of(st.integers(0, 16), st.integers(SMALL.timestamp_begin, SMALL.size - 1))
HISTORIES = st.lists(st.lists(TOKENS, max_size=7), min_size=1, max_size=6)


@pytest.mark.slow
@given(
    histories=HISTORIES,
    seed=st.integers(0, 10**6),
    towards_times=st.sampled_from([-2.0, 0.0, 2.0]),
    known=st.integers(0, 7),
)
@settings(max_examples=400, deadline=None, derandomize=True, database=None)
def test_any_history(histories: list[list[int]], seed: int, towards_times: float, known: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(histories), SMALL.size, generator=generator) * 2
    logits[:, SMALL.timestamp_begin :] += towards_times
    chosen = torch.rand(len(histories), SMALL.size, generator=generator) < 0.2
    suppressed = [row.nonzero()[:, 0].tolist() for row in chosen]
    assert_same(SMALL, logits, histories, suppressed, known)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("known", [0, 1, 3, 9])
def test_likely_histories_of_the_real_vocabulary(seed: int, known: int) -> None:
    rng = np.random.default_rng(seed)
    first = REAL.timestamp_begin
    histories: list[list[int]] = [
        [],
        [first],
        [first + 3, 440],
        [first + 3, 440, 7, first + 90],
        [first, 440, first + 90, first + 90],
        [first, 440, first + 90, first + 90, 50, 51],
        [first, 1, first + 1500],
        [int(token) for token in rng.integers(0, REAL.size, 9)],
    ]
    logits = torch.from_numpy(rng.normal(0, 2, (len(histories), REAL.size)).astype(np.float32))
    logits[:, first:] -= float(rng.choice([0.0, 4.0, 8.0]))
    suppressed = [[int(token) for token in rng.integers(0, REAL.eot, 80)] for _ in histories]
    assert_same(REAL, logits, histories, suppressed, known)


def test_a_row_that_starts_anew_forgets_what_was_there() -> None:
    rules = states(SMALL, [[18, 1, 30, 30, 4]], [[5]])
    rules.start(0, torch.zeros(SMALL.size), 0.0, torch.zeros(32, dtype=torch.float64))
    logits = torch.randn(1, SMALL.size)
    found = logits.clone()
    rules.apply_logit_filters(found, slice(0, 1))
    assert torch.equal(found, filtered(SMALL, logits, [], []))


def test_a_copied_row_follows_its_source() -> None:
    histories = [[18, 1, 30], [20], [18, 2]]
    rules = states(SMALL, histories, [[1], [2], [3]])
    rules.temperature[:] = torch.arange(5)
    rules.copy(torch.tensor([2, 0]), torch.tensor([0, 1]))
    logits = torch.randn(3, SMALL.size)
    found = logits.clone()
    rules.apply_logit_filters(found, slice(0, 3))
    for row, (history, suppressed) in enumerate([([18, 2], [3]), ([18, 1, 30], [1]), ([18, 2], [3])]):
        assert torch.equal(found[row], filtered(SMALL, logits[row : row + 1], history, suppressed)[0])
    assert rules.temperature[:3].tolist() == [2.0, 0.0, 2.0]


def sampling(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """The tokens that rows with these logits choose for their first uniform numbers."""
    rules = RowStates(len(logits), SMALL, 1, CPU)
    for row, number in enumerate(noise):
        rules.start(row, torch.zeros(SMALL.size), temperature, number[None])
    return rules.select_tokens(logits, slice(0, len(logits)), sample=True, candidate_count=0).tokens


@pytest.mark.parametrize("temperature", [0.2, 0.8, 1.0])
def test_samples_are_distributed_as_the_softmax(temperature: float) -> None:
    """Evenly spread uniform numbers hit each token as often as is likely, to one count."""
    count = 4_000
    logits = torch.randn(1, SMALL.size, generator=torch.Generator().manual_seed(1))
    logits[0, [0, 7, 39]] = float("-inf")
    noise = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    tokens = sampling(logits.expand(count, -1), noise, temperature)
    expected = (logits[0].double() / temperature).softmax(-1) * count
    counts = torch.bincount(tokens, minlength=SMALL.size)
    assert (counts - expected).abs().max() <= 1.0 + 1e-3
    assert counts[[0, 7, 39]].sum() == 0


@pytest.mark.parametrize("number", [0.0, 1e-300, 1 - 2**-53])
def test_the_outermost_numbers_give_allowed_tokens(number: float) -> None:
    logits = torch.full((1, SMALL.size), float("-inf"))
    logits[0, 5:8] = torch.tensor([0.0, 1.0, 2.0])
    assert sampling(logits, torch.tensor([number], dtype=torch.float64), 1.0).item() in (5, 6, 7)


def test_a_sample_depends_on_its_own_row_alone() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(16, SMALL.size, generator=generator)
    noise = torch.rand(16, generator=generator, dtype=torch.float64)
    together = sampling(logits, noise, 0.7)
    alone = [sampling(logits[row : row + 1], noise[row : row + 1], 0.7) for row in range(16)]
    order = torch.randperm(16, generator=generator)
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(together[order], sampling(logits[order], noise[order], 0.7))


def test_rows_at_zero_take_the_likeliest_beside_rows_that_sample() -> None:
    logits = torch.randn(2, SMALL.size, generator=torch.Generator().manual_seed(4))
    rules = RowStates(2, SMALL, 1, CPU)
    rules.start(0, torch.zeros(SMALL.size), 0.0, torch.tensor([0.999], dtype=torch.float64))
    rules.start(1, torch.zeros(SMALL.size), 1.0, torch.tensor([0.0], dtype=torch.float64))
    chosen = rules.select_tokens(logits, slice(0, 2), sample=True, candidate_count=0)
    assert chosen.tokens.tolist() == [int(logits[0].argmax()), 0]


def test_each_token_uses_its_own_number() -> None:
    rules = RowStates(1, SMALL, 3, CPU)
    rules.start(0, torch.zeros(SMALL.size), 1.0, torch.tensor([0.0, 0.5, 0.999], dtype=torch.float64))
    logits = torch.zeros(1, SMALL.size)
    tokens = []
    for _ in range(3):
        token = rules.select_tokens(logits, slice(0, 1), sample=True, candidate_count=0).tokens
        tokens.append(token.item())
        rules.append(torch.tensor([0]), token)
    assert tokens == [0, 20, 39]


def test_no_step_looks_at_a_row_on_its_own() -> None:
    """No loop but over states as a whole, and nothing that brings tensors to the host."""
    tree = ast.parse(inspect.getsource(token_rules))
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For | ast.While | ast.comprehension)]
    assert {ast.unparse(loop.target) for loop in loops if isinstance(loop, ast.For)} == {"state"}
    assert len(loops) == 2
    to_the_host = {"tolist", "item", "cpu", "numpy", "nonzero"}
    assert not to_the_host & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("size", [1, 127, 128, 129, 300, 51_864, 51_865, 51_866])
@pytest.mark.parametrize("count", [1, 6])
def test_the_likeliest(size: int, count: int) -> None:
    logits = torch.randn(5, size, generator=torch.Generator().manual_seed(count))
    logits[1] = logits[1].sort().values
    logits[2] = logits[2].sort(descending=True).values
    logits[3, : size // 2] = float("-inf")
    count = min(count, size)
    assert torch.equal(top_k_tokens(logits, count), logits.topk(count).indices)
