"""Attention to the audio in floats, and in int8 within what int8 can hold."""

import pytest
import torch
from torch import Tensor

from app.engines.batched.cross_attention import CrossKV, FloatCrossKV, Int8CrossKV

LAYERS, HEADS, PLACES, HEAD = 2, 3, 1500, 64
STEPS = 700


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


KEYS, VALUES = (numbers(seed, PLACES, LAYERS, HEADS, HEAD).permute(1, 2, 0, 3) for seed in (1, 2))


def attention(layer: int, queries: Tensor) -> Tensor:
    return (queries @ KEYS[layer].mT).softmax(-1) @ VALUES[layer]


@pytest.mark.parametrize(("kind", "off"), [(FloatCrossKV, 1e-5), (Int8CrossKV, 0.05)])
@pytest.mark.parametrize("queries", [1, 2, 5, 15, 16, 105])
def test_attention(kind: type[CrossKV], off: float, queries: int) -> None:
    window = kind(KEYS, VALUES)
    for layer in range(LAYERS):
        query = 0.3 * numbers(queries, queries, HEADS, HEAD).transpose(0, 1)
        output = window.attend(layer, query)
        assert output.shape == (HEADS, queries, HEAD)
        torch.testing.assert_close(output, attention(layer, query), rtol=0, atol=off)


@pytest.mark.parametrize(("kind", "off"), [(FloatCrossKV, 1e-5), (Int8CrossKV, 0.05)])
@pytest.mark.parametrize("queries", [1, 20])
def test_attention_to_a_short_context(kind: type[CrossKV], off: float, queries: int) -> None:
    keys, values = KEYS[:, :, :384], VALUES[:, :, :384]
    window, query = kind(keys, values), 0.3 * numbers(6, HEADS, queries, HEAD)
    assert window.positions == 384
    expected = (query @ keys[1].mT).softmax(-1) @ values[1]
    torch.testing.assert_close(window.attend(1, query), expected, rtol=0, atol=off)
    assert window.scores(1, 2, query[0], 300).shape == (queries, 300)


def test_few_queries_give_what_many_do() -> None:
    window, query = Int8CrossKV(KEYS, VALUES), numbers(3, HEADS, 20, HEAD)
    together = window.attend(1, query)
    torch.testing.assert_close(window.attend(1, query[:, 4:9]), together[:, 4:9], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "off"), [(FloatCrossKV, 1e-4), (Int8CrossKV, 0.4)])
def test_scores(kind: type[CrossKV], off: float) -> None:
    query = numbers(4, 7, HEAD)
    scores = kind(KEYS, VALUES).scores(1, 2, query, STEPS)
    torch.testing.assert_close(scores, query @ KEYS[1, 2, :STEPS].T, rtol=0, atol=off)


@pytest.mark.parametrize("kind", [FloatCrossKV, Int8CrossKV])
def test_silence_is_no_division_by_zero(kind: type[CrossKV]) -> None:
    silent = torch.zeros(LAYERS, HEADS, PLACES, HEAD)
    assert not kind(silent, silent).attend(0, numbers(5, HEADS, 3, HEAD)).any()
