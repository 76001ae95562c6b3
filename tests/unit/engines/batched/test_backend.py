"""How a device decodes, and what a GPU's step sends to and fro: counted on a device without numbers."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from whisper.model import ModelDimensions, Whisper

from app.engines.batched.backend import Backend, backend_of
from app.engines.batched.batch import Batch, DecodingWindow
from app.engines.batched.beam import BeamSearch, Sampling, Search
from app.engines.batched.cross_attention import FloatCrossKV
from app.engines.batched.decoder import Decoder
from app.engines.batched.graphs import GraphedDecoder, capture_graph
from app.engines.batched.kv_cache import MaskedKVCache
from app.engines.batched.token_rules import Vocabulary
from app.engines.batched.weights import DecoderWeights
from tests.module_weights import decoder_of

META, CPU = torch.device("meta"), torch.device("cpu")
STATE, HEADS, LAYERS, VOCABULARY = 128, 2, 4, Vocabulary(50257, 50365, 50364, 51866, 50)


@pytest.mark.parametrize(
    ("device", "precision", "dtype"),
    [
        ("cpu", "exact", torch.float32),
        ("cpu", "int8", torch.float32),
        ("cuda:1", "exact", torch.float16),
        ("cuda", "bfloat16", torch.bfloat16),
    ],
)
def test_graphs_and_half_floats_are_for_gpus(device: str, precision: str, dtype: torch.dtype) -> None:
    backend = backend_of(torch.device(device), precision)
    assert backend.dtype == dtype
    assert backend.capture is (None if device == "cpu" else capture_graph)


class Transfers(TorchDispatchMode):
    """Counts transfers between the host and the device, both ways, and what else is launched there."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, operation: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, given = operation._schema.name, kwargs or {}
        source = target = None
        if name == "aten::_to_copy":
            source, target = args[0].device, given.get("device")
        elif name == "aten::copy_":
            source, target = args[1].device, args[0].device
        if (source, target) == (META, CPU):
            self.counts["to host"] += 1
            return torch.zeros(args[0].shape, dtype=args[0].dtype)  # token 0 in every row
        kind = "scalars" if name == "aten::scalar_tensor" else "launched"
        self.counts["to device" if (source, target) == (CPU, META) else kind] += 1
        return operation(*args, **given)


def weights(device: torch.device) -> DecoderWeights:
    dims = ModelDimensions(80, 1500, STATE, HEADS, 1, VOCABULARY.size, 448, STATE, HEADS, LAYERS)
    return decoder_of(Whisper(dims), device, torch.float16)


def decoding(search: Search, temperature: float = 0.0, candidate_count: int = 0) -> DecodingWindow:
    windows = torch.zeros(LAYERS, HEADS, 1500, STATE // HEADS, dtype=torch.float16, device=META)
    return DecodingWindow(
        cross=FloatCrossKV(windows, windows),
        prompt=[50258, 50259, 50360],
        search=search,
        suppression_mask=torch.zeros(VOCABULARY.size, device=META),
        temperature=temperature,
        uniform_noise=torch.zeros(search.rows, 224, dtype=torch.float64),
        candidate_count=candidate_count,
    )


def batch() -> Batch:
    backend = Backend(META, torch.float16, capture=lambda step: step)
    return backend.new_batch(weights(META), VOCABULARY, rows=16, context=448)


def test_a_gpus_decoder_is_another_one() -> None:
    assert isinstance(batch().decoder, GraphedDecoder)
    assert isinstance(batch().decoder.cache, MaskedKVCache)
    plain = Backend(CPU, torch.float32).new_batch(weights(CPU), VOCABULARY, rows=2, context=448)
    assert type(plain.decoder) is Decoder


@torch.no_grad()
def test_a_step_sends_once_and_waits_once() -> None:
    """Whatever runs in it: each further wait costs a GPU more than the step's own work."""
    running = batch()
    with Transfers():
        running.add(decoding(Sampling(1, VOCABULARY.eot, 224)))
        running.add(decoding(Sampling(3, VOCABULARY.eot, 224), temperature=0.7))
        for _ in range(3):
            running.step()
    with Transfers() as transfers:
        running.step()
    assert transfers.counts["to device"] == 1
    assert transfers.counts["to host"] == 1
    assert transfers.counts["scalars"] == 0


@torch.no_grad()
def test_beams_that_move_send_once_more() -> None:
    running = batch()
    with Transfers():
        running.add(decoding(BeamSearch(5, VOCABULARY.eot, 224, None), candidate_count=6))
        running.step()
    with Transfers() as transfers:
        running.step()
    assert transfers.counts["to device"] <= 2
    assert transfers.counts["to host"] == 1


@torch.no_grad()
def test_what_is_captured_neither_sends_nor_waits() -> None:
    """A capture would refuse it."""
    counts: list[Counter[str]] = []

    def counted(step: Any) -> Any:
        def run() -> Tensor:
            with Transfers() as transfers:
                result: Tensor = step()
            counts.append(transfers.counts)
            return result

        return run

    running = Backend(META, torch.float16, counted).new_batch(weights(META), VOCABULARY, rows=8, context=448)
    with Transfers():
        running.add(decoding(Sampling(3, VOCABULARY.eot, 224), temperature=0.7))
        running.step()
    assert len(counts) == 2  # the decoder's step, and the selection
    assert all(set(each) == {"launched"} for each in counts)
