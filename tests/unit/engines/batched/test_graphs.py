"""Steps as CUDA graphs replay them: everything but CUDA's own capture, for which a recording stands in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from whisper.model import ModelDimensions, Whisper

from app.checkpoints import found_at
from app.engines.batched import packed_linear
from app.engines.batched.cross_attention import FloatCrossKV
from app.engines.batched.decoder import Decoder, RowRange
from app.engines.batched.graphs import (
    CapturedSteps,
    Context,
    GraphedDecoder,
    GraphedSelection,
    RowCrossKV,
    bucket,
)
from app.engines.batched.token_rules import RowStates, Selection, Vocabulary
from app.engines.batched.weights import DecoderWeights, LayerSource, decoder_weights
from app.engines.weights_files import open_weights
from tests.module_weights import decoder_of
from tests.recorded_steps import record

ROWS, CONTEXT = 8, 448
FULL = Context(1500, masked=False)
DEMO = Path(__file__).parents[4] / "models" / "demo.pt"


@pytest.fixture(scope="module")
def weights() -> DecoderWeights:
    file = open_weights(found_at(DEMO))
    return decoder_weights(LayerSource(file, torch.device("cpu"), torch.float32, packed_linear.plain))


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def window(seed: int, weights: DecoderWeights, positions: int = 1500) -> FloatCrossKV:
    generator = torch.Generator().manual_seed(seed)
    head = weights.embedding.shape[1] // weights.heads
    shape = (len(weights.blocks), weights.heads, positions, head)
    return FloatCrossKV(torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))


@pytest.mark.parametrize(
    ("size", "smallest", "largest", "expected"),
    [(1, 1, 64, 1), (3, 1, 64, 4), (64, 1, 64, 64), (5, 1, 6, 6), (5, 64, 448, 64), (300, 64, 448, 448)],
)
def test_sizes_are_few(size: int, smallest: int, largest: int, expected: int) -> None:
    assert bucket(size, smallest, largest) == expected


def test_steps_give_the_same_logits_as_a_plain_decoder(weights: DecoderWeights) -> None:
    plain, graphed = Decoder(weights, ROWS, CONTEXT), GraphedDecoder(weights, ROWS, CONTEXT, record)
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
    assert graphed._steps.keys == {(4, 64, FULL), (2, 64, FULL)}


@pytest.mark.parametrize(
    ("positions", "context"),
    [
        ((1500, 1500), FULL),
        ((256, 1500), Context(1500, masked=True)),
        ((256, 384), Context(512, masked=True)),
        ((512, 512), Context(512, masked=True)),
        ((640, 256), Context(1500, masked=True)),
        ((1408, 1408), Context(1500, masked=True)),
    ],
    ids=str,
)
def test_rows_with_contexts_of_any_length_give_the_same_logits_as_a_plain_decoder(
    weights: DecoderWeights, positions: tuple[int, int], context: Context
) -> None:
    """Also where a row has had a longer window before, whose numbers overflowed: nothing is left of it."""
    plain, graphed = Decoder(weights, ROWS, CONTEXT), GraphedDecoder(weights, ROWS, CONTEXT, record)
    full = window(3, weights)
    full.keys.fill_(float("nan"))
    full.values.fill_(float("inf"))
    graphed.step(torch.tensor([1, 2]), torch.tensor([0, 0]), 0, [RowRange(full, 0, 2)])
    one, two = (window(seed, weights, count) for seed, count in enumerate(positions))
    for decoder in (plain, graphed):
        decoder.prefill([50258, 50259, 50359], one, 0)
        decoder.prefill([50258, 50260, 50359], two, 1)
    row_ranges = [RowRange(one, 0, 1), RowRange(two, 1, 2)]
    for step in range(3):
        given = torch.tensor([50364 + step, 400]), torch.tensor([3, 3]) + step, 3 + step, row_ranges
        assert torch.allclose(graphed.step(*given), plain.step(*given), atol=1e-4)
    assert graphed._steps.keys == {(2, 64, FULL), (2, 64, context)}


@pytest.fixture(scope="module")
def small() -> DecoderWeights:
    """Random weights of one layer and few tokens."""
    torch.manual_seed(1)
    model = Whisper(ModelDimensions(80, 1500, 16, 2, 1, 500, CONTEXT, 16, 2, 1))
    torch.nn.init.normal_(model.decoder.positional_embedding)
    return decoder_of(model)


@pytest.mark.parametrize("length", [1, 62, 63, 64, 126, 127, 128, 254, 255, 256, 447])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, ROWS])
def test_at_the_borders_of_the_sizes(small: DecoderWeights, rows: int, length: int) -> None:
    """The longest row's new token is the last that a size holds, or the first of the next one."""
    weights = small
    plain, graphed = Decoder(weights, ROWS, CONTEXT), GraphedDecoder(weights, ROWS, CONTEXT, record)
    generator = torch.Generator().manual_seed(length)
    for cache in (plain.cache, graphed.cache):
        cache.keys.copy_(torch.randn(cache.keys.shape, generator=generator.manual_seed(length)))
        cache.values.copy_(cache.keys.flip(-1))
    row_ranges = [RowRange(window(row, weights), row, row + 1) for row in range(rows)]
    lengths = torch.full((rows,), length)
    lengths[1:] -= torch.arange(rows - 1) % length
    tokens = torch.arange(400, 400 + rows)
    for _ in range(2):  # captured, and replayed
        found, expected = (
            decoder.step(tokens, lengths, length, row_ranges).clone() for decoder in (graphed, plain)
        )
        assert torch.allclose(found, expected, atol=1e-4)
    assert torch.allclose(graphed.cache.keys[:, :rows], plain.cache.keys[:, :rows], atol=1e-4)


def test_a_step_is_captured_once_and_replayed() -> None:
    number, runs = torch.tensor([1.0]), []

    def double() -> Tensor:
        runs.append(number)
        return number * 2

    steps = CapturedSteps(record)
    first = steps.run("double", double)
    assert first.item() == 2
    ran = len(runs)
    number.fill_(5)
    assert steps.run("double", double) is first
    assert first.item() == 10
    assert len(runs) == ran
    assert steps.keys == {"double"}
    steps.clear()
    assert steps.keys == set()


def test_a_step_that_cant_be_captured_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    number = torch.tensor([3.0])
    steps = CapturedSteps(record)
    for _ in range(2):
        assert steps.run((1, 64), lambda: number * number.item()).item() == 9  # waits for the number
    assert caplog.text.count("steps of size (1, 64) run without a CUDA graph: operation not permitted") == 1


def test_a_capture_without_memory_is_for_the_engine_to_mend() -> None:
    def full(step: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    steps = CapturedSteps(full)
    with pytest.raises(torch.OutOfMemoryError):
        steps.run("any", lambda: torch.zeros(1))
    assert steps.keys == set()


def test_a_smaller_decoder_lets_go_of_graphs_and_copies(weights: DecoderWeights) -> None:
    plain, graphed = Decoder(weights, ROWS, CONTEXT), GraphedDecoder(weights, ROWS, CONTEXT, record)
    cross = window(1, weights)
    for decoder in (plain, graphed):
        decoder.prefill([50258, 50259], cross, 0)
        decoder.prefill([50258, 50260], cross, 1)
    given = torch.tensor([400, 401]), torch.tensor([2, 2]), 2, [RowRange(cross, 0, 2)]
    expected = plain.step(*given)
    assert torch.allclose(graphed.step(*given), expected, atol=1e-4)
    copies = graphed._cross._keys
    graphed.shrink(2)
    assert graphed._steps.keys == set()
    assert torch.allclose(graphed.step(*given), expected, atol=1e-4)
    assert graphed._steps.keys == {(2, 64, FULL)}
    assert graphed._cross._keys.numel() == copies.numel() * 2 // ROWS


VOCABULARY = Vocabulary(50257, 50364, 50363, 51865, 50)


@pytest.mark.parametrize(
    "selection", [Selection(False, 0), Selection(True, 0), Selection(False, 6), Selection(True, 3)]
)
def test_tokens_are_selected_the_same(weights: DecoderWeights, selection: Selection) -> None:
    decoder = GraphedDecoder(weights, ROWS, CONTEXT, record)
    states = RowStates(ROWS, VOCABULARY, 224, torch.device("cpu"))
    generator = torch.Generator().manual_seed(2)
    for row in range(ROWS):
        noise = torch.rand(224, generator=generator, dtype=torch.float64)
        states.start(row, torch.zeros(VOCABULARY.size), 0.5 * (row % 2), noise)
    select = GraphedSelection(decoder, states, record)
    for rows in (5, 5, 3, 8, 5):
        states.append(slice(0, rows), torch.randint(50350, 50400, (rows,), generator=generator))
        decoder.step_logits.copy_(torch.randn(ROWS, VOCABULARY.size, generator=generator))
        expected = states.select(decoder.step_logits[:rows].clone(), slice(0, rows), selection)
        assert torch.equal(select(decoder.step_logits[:rows], selection), expected)
    assert select._steps.keys == {(size, *selection) for size in (4, 8)}


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
