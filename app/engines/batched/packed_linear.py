"""Linear layers whose weights are laid out once for the machine they run on.

fbgemm multiplies float32 activations with float16 weights in float32, so a checkpoint whose weights
are float16 loses nothing, and a decoding step, which is bound by memory, reads half as much.
"""

import logging
import warnings
from collections.abc import Callable, Iterable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

_log = logging.getLogger(__name__)

Linear = Callable[[Tensor], Tensor]
"""`[..., inputs]` -> `[..., outputs]`."""

Pack = Callable[[Tensor, Tensor | None], Linear]
"""Weight `[outputs, inputs]` and bias `[outputs]` -> a layer."""

_TOLERANCE = {"float16": 1e-4, "int8": 0.15}
"""The largest error, in standard deviations of the right answer, that a self-test lets pass."""


def plain(weight: Tensor, bias: Tensor | None) -> Linear:
    """The layer as torch has it: any device, any type."""
    return partial(F.linear, weight=weight.contiguous(), bias=bias)


def half_weights(weight: Tensor, bias: Tensor | None) -> Linear:
    """float16 weights in fbgemm's layout; the same as `plain` for weights that are float16 numbers."""
    packed = torch.ops.quantized.linear_prepack_fp16(weight.contiguous(), bias)
    return partial(_half_linear, packed)


def _half_linear(packed: torch.ScriptObject, x: Tensor) -> Tensor:
    result: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, packed)
    return result


def int8_weights(weight: Tensor, bias: Tensor | None) -> Linear:
    """int8 weights, a scale for each output, and activations quantized on the way. Not exact."""
    largest = torch.maximum(weight.amax(1), -weight.amin(1))  # abs() would copy the weights
    scales = (largest.clamp_min(1e-8) / 127).double()
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch means to replace its quantized tensors one day
        quantized = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(
            quantized, torch.zeros(len(weight)) if bias is None else bias
        )
    return partial(_int8_linear, packed)


def _int8_linear(packed: torch.ScriptObject, x: Tensor) -> Tensor:
    # reduce_range: without it the 8-bit products overflow on processors that lack VNNI
    result: Tensor = torch.ops.quantized.linear_dynamic(x, packed, True)
    return result


def works(pack: Pack, name: str) -> bool:
    """Whether this machine and torch build compute a packing right, on random numbers."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(96, 64, generator=generator).half().float()
    bias = torch.randn(96, generator=generator)
    x = torch.randn(5, 64, generator=generator)
    expected = F.linear(x, weight, bias)
    try:
        torch.backends.quantized.engine = "fbgemm"
        error = (pack(weight, bias)(x) - expected).abs().max() / expected.std()
    except (RuntimeError, AttributeError) as reason:
        _log.warning("%s weights can't be used here: %s", name, reason)
        return False
    if not error < _TOLERANCE[name]:
        _log.warning("%s weights can't be used here: off by %.3g standard deviations", name, error)
        return False
    return True


def is_half(weights: Iterable[Tensor]) -> bool:
    """Whether all weights are float16 numbers, as those of published checkpoints are, however stored."""
    return all(weight.dtype == torch.float16 or _equals_half(weight.float()) for weight in weights)


def _equals_half(weight: Tensor) -> bool:
    return torch.equal(weight, weight.half().float())
