"""Dynamic time warping against openai-whisper's own."""

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.testing import assert_array_equal
from whisper.timing import dtw_cpu

from app.engines.batched.dtw import Costs, cheapest_path

SHAPES = [(1, 1), (1, 30), (30, 1), (2, 2), (7, 40), (40, 7), (60, 300)]


def path(costs: Costs) -> list[list[int]]:
    return [list(indices) for indices in dtw_cpu(costs)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_costs_of_all_kinds(shape: tuple[int, int], seed: int) -> None:
    costs = default_rng(seed).normal(size=shape)
    assert_array_equal(cheapest_path(costs), path(costs))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_ties(shape: tuple[int, int], seed: int) -> None:
    costs = default_rng(seed).integers(-1, 2, size=shape).astype(np.float64)
    assert_array_equal(cheapest_path(costs), path(costs))


@pytest.mark.parametrize("seed", range(3))
def test_costs_that_differ_in_their_last_bits(seed: int) -> None:
    costs = 1 + default_rng(seed).integers(-2, 3, size=(20, 90)) * np.finfo(np.float64).eps
    assert_array_equal(cheapest_path(costs), path(costs))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_costs_that_are_no_numbers(value: float) -> None:
    costs = default_rng(0).normal(size=(9, 30))
    costs[default_rng(1).random(costs.shape) < 0.1] = value
    assert_array_equal(cheapest_path(costs), path(costs))
    assert_array_equal(cheapest_path(np.full((5, 8), value)), path(np.full((5, 8), value)))
