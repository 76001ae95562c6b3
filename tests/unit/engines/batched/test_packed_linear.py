from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from app.engines.batched import packed_linear
from app.engines.batched.packed_linear import Linear, Pack, half_weights, int8_weights, is_half, plain, works


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def half_numbers(*shape: int, seed: int = 0) -> Tensor:
    return numbers(*shape, seed=seed).half().float()


def spread(error: Tensor, of: Tensor) -> float:
    """The largest error in standard deviations."""
    return float(error.abs().max() / of.std())


@pytest.mark.parametrize("rows", [1, 4, 8, 16, 100])
@pytest.mark.parametrize(("outputs", "inputs"), [(96, 96), (384, 384), (1536, 384), (384, 1536), (5187, 96)])
@pytest.mark.parametrize("pack", [plain, half_weights])
def test_float16_weights_are_exact(pack: Pack, outputs: int, inputs: int, rows: int) -> None:
    weight, bias, x = half_numbers(outputs, inputs), numbers(outputs, seed=1), numbers(rows, inputs, seed=2)
    expected = F.linear(x.double(), weight.double(), bias.double())
    assert spread(pack(weight, bias)(x) - expected, expected) < 1e-5


@pytest.mark.parametrize("pack", [plain, half_weights])
def test_a_layer_without_bias_over_any_dimensions(pack: Pack) -> None:
    weight, x = half_numbers(64, 32), numbers(2, 3, 32, seed=2)
    assert torch.allclose(pack(weight, None)(x), F.linear(x, weight), atol=1e-4)


@pytest.mark.parametrize("bias", [None, numbers(512, seed=1)])
@pytest.mark.parametrize("rows", [1, 8, 50])
def test_int8_weights_stay_close(rows: int, bias: Tensor | None) -> None:
    assert works(int8_weights, "int8")
    weight, x = numbers(512, 384), numbers(rows, 384, seed=2)
    expected = F.linear(x, weight, bias)
    error = spread(int8_weights(weight, bias)(x) - expected, expected)
    assert 0 < error < 0.1


@pytest.mark.parametrize(
    ("pack", "name"), [(half_weights, "float16"), (int8_weights, "int8"), (plain, "float16")]
)
def test_what_works_here(pack: Pack, name: str) -> None:
    assert works(pack, name)


def slightly_off(weight: Tensor, bias: Tensor | None) -> Linear:
    return plain(weight * 1.001, bias)


def without_bias(weight: Tensor, bias: Tensor | None) -> Linear:
    return plain(weight, None)


def saturating(weight: Tensor, bias: Tensor | None) -> Linear:
    return lambda x: F.linear(x, weight, bias).clamp(-10, 10)


def not_a_number(weight: Tensor, bias: Tensor | None) -> Linear:
    return lambda x: F.linear(x, weight, bias) * float("nan")


@pytest.mark.parametrize("pack", [slightly_off, without_bias, saturating, not_a_number])
def test_a_packing_that_computes_wrongly_is_refused(pack: Pack, caplog) -> None:
    assert not works(pack, "float16")
    assert "float16 weights can't be used here: off by" in caplog.text


@pytest.mark.parametrize("pack", [without_bias, saturating, not_a_number])
def test_int8_is_held_to_its_own_tolerance(pack: Pack) -> None:
    assert not works(pack, "int8")


def unsupported(weight: Tensor, bias: Tensor | None) -> Linear:
    raise RuntimeError("this build has no fbgemm")


def missing(weight: Tensor, bias: Tensor | None) -> Linear:
    return partial(torch.ops.quantized.no_such_operator, weight)


@pytest.mark.parametrize("pack", [unsupported, missing])
def test_a_packing_that_this_torch_lacks_is_refused(pack: Pack, caplog) -> None:
    assert not works(pack, "int8")
    assert "int8 weights can't be used here" in caplog.text


def test_which_weights_are_float16_numbers() -> None:
    assert is_half([half_numbers(4, 4), torch.zeros(2, 2)])
    assert not is_half([half_numbers(4, 4), numbers(4, 4)])
    assert not is_half([torch.tensor([[1e6]])])


def test_every_packing_has_a_tolerance() -> None:
    assert set(packed_linear._TOLERANCE) == {"float16", "int8"}
