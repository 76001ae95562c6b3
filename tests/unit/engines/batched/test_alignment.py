"""The running median against openai-whisper's. What it is for is tested in tests/oracle."""

import pytest
import torch
import whisper.timing
from torch import Tensor

from app.engines.batched.alignment import running_median

WIDTH = 7


def medians(x: Tensor) -> Tensor:
    return whisper.timing.median_filter(x, WIDTH)


@pytest.mark.parametrize("shape", [(1, 1, 10), (2, 3, 40), (6, 17, 1500), (1, 2, 4), (1, 1, 5)])
@pytest.mark.parametrize("seed", range(4))
def test_the_running_median(shape: tuple[int, ...], seed: int) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(running_median(x), medians(x))


def test_every_order() -> None:
    orders = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * WIDTH)  # a network that sorts these sorts all
    assert torch.equal(running_median(orders), medians(orders))


@pytest.mark.parametrize("seed", range(4))
def test_equal_numbers(seed: int) -> None:
    x = torch.randint(0, 3, (3, 5, 60), generator=torch.Generator().manual_seed(seed)).float()
    assert torch.equal(running_median(x), medians(x))


def test_nan_is_greater_than_any_number() -> None:
    x = torch.randn(4, 5, 300, generator=torch.Generator().manual_seed(0))
    x[x > 0.3] = float("nan")
    found = running_median(x)
    assert found.isnan().any()
    assert torch.equal(found.nan_to_num(99), medians(x).nan_to_num(99))


def test_what_does_not_lie_in_a_row() -> None:
    x = torch.randn(50, 3, 4, generator=torch.Generator().manual_seed(0)).permute(1, 2, 0)
    assert torch.equal(running_median(x), medians(x))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_what_is_too_short_stays_as_it_is(length: int) -> None:
    x = torch.randn(2, 3, length)
    assert torch.equal(running_median(x), x)
