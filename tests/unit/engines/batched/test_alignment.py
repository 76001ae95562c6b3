"""The median filter against openai-whisper's. What it is for is tested in tests/oracle."""

import pytest
import torch
import whisper.timing

from app.engines.batched.alignment import median_filter


@pytest.mark.parametrize("width", [3, 5, 7, 9])
@pytest.mark.parametrize("shape", [(1, 1, 10), (2, 3, 40), (6, 17, 1500), (1, 2, 4), (1, 1, 5)])
def test_the_running_median(shape: tuple[int, ...], width: int) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(width))
    assert torch.equal(median_filter(x, width), whisper.timing.median_filter(x, width))


@pytest.mark.parametrize("width", [3, 5, 7, 9])
def test_equal_numbers(width: int) -> None:
    x = torch.randint(0, 3, (3, 5, 60), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(median_filter(x, width), whisper.timing.median_filter(x, width))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_what_is_too_short_stays_as_it_is(length: int) -> None:
    x = torch.randn(2, 3, length)
    assert torch.equal(median_filter(x, 7), x)
