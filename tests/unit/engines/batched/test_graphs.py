"""What a CUDA graph replays, run as it is: everything but the capture itself, which needs a GPU."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.checkpoints import found_at
from app.engines.batched import graphs, packed_linear
from app.engines.batched.cross_attention import FloatCrossKV
from app.engines.batched.decoder import Decoder, RowRange
from app.engines.batched.graphs import GraphedDecoder, RowCrossKV, bucket
from app.engines.batched.weights import DecoderWeights, LayerSource, decoder_weights
from app.engines.weights_files import open_weights

ROWS, CONTEXT = 8, 448
DEMO = Path(__file__).parents[4] / "models" / "demo.pt"


@pytest.fixture(scope="module")
def weights() -> DecoderWeights:
    file = open_weights(found_at(DEMO))
    return decoder_weights(LayerSource(file, torch.device("cpu"), torch.float32, packed_linear.plain))


@pytest.fixture(autouse=True)
def uncaptured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "capture_graph", lambda step: step)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def window(seed: int, weights: DecoderWeights) -> FloatCrossKV:
    generator = torch.Generator().manual_seed(seed)
    head = weights.embedding.shape[1] // weights.heads
    shape = (len(weights.blocks), weights.heads, 1500, head)
    return FloatCrossKV(torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))


@pytest.mark.parametrize(
    ("size", "smallest", "largest", "expected"),
    [(1, 1, 64, 1), (3, 1, 64, 4), (64, 1, 64, 64), (5, 1, 6, 6), (5, 64, 448, 64), (300, 64, 448, 448)],
)
def test_sizes_are_few(size: int, smallest: int, largest: int, expected: int) -> None:
    assert bucket(size, smallest, largest) == expected


def test_steps_give_the_same_logits_as_a_plain_decoder(weights: DecoderWeights) -> None:
    plain, graphed = Decoder(weights, ROWS, CONTEXT), GraphedDecoder(weights, ROWS, CONTEXT)
    one, two = window(1, weights), window(2, weights)
    prompts = [([50258, 50259, 50359], one), ([50361, 11, 12, 50258, 50259, 50359], two)]
    for row, (prompt, cross) in enumerate(prompts):
        for decoder in (plain, graphed):
            decoder.prefill(prompt, cross, row)
    for decoder in (plain, graphed):  # a third row, sharing the second one's window
        decoder.cache.copy(torch.tensor([1]), torch.tensor([2]), slice(0, 6))
    lengths = torch.tensor([3, 6, 6])
    three_rows = [RowRange(one, 0, 1), RowRange(two, 1, 3)]
    two_rows = [RowRange(two, 0, 1), RowRange(one, 1, 2)]
    for step, row_ranges in enumerate([three_rows, three_rows, two_rows]):
        rows = row_ranges[-1].end
        tokens = torch.tensor([50364 + step, 400, 500])[:rows]
        given = tokens, lengths[:rows], int(lengths[:rows].max()), row_ranges
        assert torch.allclose(graphed.step(*given), plain.step(*given), atol=1e-4)
        lengths = lengths + 1
    assert set(graphed._steps) == {(4, 64), (2, 64)}


def test_a_step_that_cant_be_captured_runs_as_it_is(
    weights: DecoderWeights, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(step: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs, "capture_graph", refuse)
    decoder = GraphedDecoder(weights, ROWS, CONTEXT)
    cross = window(1, weights)
    decoder.prefill([50258], cross, 0)
    assert decoder.step(torch.tensor([400]), torch.tensor([1]), 1, [RowRange(cross, 0, 1)]).shape == (
        1,
        51865,
    )
    assert "without a CUDA graph: operation not permitted" in caplog.text


def test_rows_copy_a_window_once(weights: DecoderWeights) -> None:
    held = RowCrossKV(3)
    copied: list[int] = []
    copy = held._copy
    held._copy = lambda row, cross: (copied.append(row), copy(row, cross))[1]
    one, two = window(1, weights), window(2, weights)
    held.update([RowRange(one, 0, 2)])
    held.update([RowRange(one, 0, 2), RowRange(two, 2, 3)])
    held.update([RowRange(one, 0, 1), RowRange(two, 1, 2)])
    held.update([RowRange(one, 0, 1)])
    held.update([RowRange(one, 0, 1), RowRange(two, 1, 2)])
    assert copied == [0, 1, 2, 1, 1]


def test_each_row_attends_to_its_own_window(weights: DecoderWeights) -> None:
    one, two = window(1, weights), window(2, weights)
    held = RowCrossKV(4)
    held.update([RowRange(two, 0, 1), RowRange(one, 1, 3)])
    head = weights.embedding.shape[1] // weights.heads
    q = torch.randn(3, weights.heads, 1, head, generator=torch.Generator().manual_seed(5))
    expected: list[Tensor] = [cross.attend(0, q[row]) for row, cross in enumerate((two, one, one))]
    assert torch.allclose(held.attend(0, q), torch.stack(expected).view(3, 1, -1), atol=1e-5)
