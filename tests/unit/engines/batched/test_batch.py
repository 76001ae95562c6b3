"""Rows that join and leave, over a decoder that remembers nothing but what is in its cache.

Its keys are the tokens themselves, and its logits depend on all of a row's tokens and its window: so
a row that reads another's place, or loses a token of its own, says something else than alone.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from app.engines.batched.batch import Batch, DecodingWindow
from app.engines.batched.beam import BeamSearch, Hypothesis, Sampling, Search
from app.engines.batched.decoder import RowRange
from app.engines.batched.kv_cache import MaskedKVCache
from app.engines.batched.token_rules import RowStates, Vocabulary

VOCABULARY = Vocabulary(eot=12, timestamp_begin=18, no_timestamps=17, size=40, max_initial_timestamp=5)
ROWS = 12
CONTEXT = 64
MAX_TOKENS = 30
BROKEN = 7
"""A window that makes the model compute NaN."""


class CacheDecoder:
    """As much of a Decoder as a batch touches."""

    def __init__(self) -> None:
        self.cache = MaskedKVCache((1, ROWS, 1, CONTEXT, 1), like=torch.zeros(1))
        self.cache.keys.fill_(torch.nan)
        self.steps = 0

    def prefill(self, tokens: list[int], cross: int, row: int) -> Tensor:
        keys = torch.tensor(tokens, dtype=torch.float32).view(1, -1, 1)
        keys = keys * torch.nan if cross == BROKEN else keys
        self.cache.write_prompt(0, row, keys, -keys)
        return torch.stack([logits(cross, tokens[: place + 1]) for place in range(len(tokens))])

    def logits(self, states: Tensor) -> Tensor:
        return states.clone()

    def step(self, tokens: Tensor, lengths: Tensor, max_length: int, row_ranges: list[RowRange]) -> Tensor:
        self.steps += 1
        rows = len(tokens)
        new_keys = tokens.float().view(rows, 1, 1)
        crosses = [each.cross for each in row_ranges for _ in range(each.first, each.end)]
        new_keys[torch.tensor(crosses) == BROKEN] = torch.nan
        self.cache.write_step(0, lengths, new_keys, -new_keys)
        keys, values = self.cache.read(0, rows, max_length + 1)
        sound = [row for row, cross in enumerate(crosses) if cross != BROKEN]
        assert torch.equal(keys[sound], -values[sound])  # places that a row doesn't use yet are no NaN either
        assert [each.first for each in row_ranges] == [0, *(each.end for each in row_ranges[:-1])]
        read = keys.nan_to_num()
        sequences = [
            read[row, 0, : length + 1, 0].long().tolist() for row, length in enumerate(lengths.tolist())
        ]
        return torch.stack([logits(cross, row) for cross, row in zip(crosses, sequences, strict=True)])


def logits(cross: int, tokens: Sequence[int]) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(repr((cross, list(tokens))).encode()))
    found = torch.randn(VOCABULARY.size, generator=generator)
    found[VOCABULARY.eot] += 0.08 * len(tokens)
    return found


@dataclass(frozen=True)
class WindowRequest:
    """A window to decode, and when it comes; `leaves` so many steps later, if at all."""

    window: int
    prompt: int
    kind: str
    rows: int
    longest: int
    comes: int
    leaves: int | None

    def decoding(self) -> DecodingWindow:
        beams = self.kind == "beams"
        suppression_mask = torch.zeros(VOCABULARY.size)
        suppression_mask[self.window % 12] = float("-inf")
        generator = torch.Generator().manual_seed(self.window)
        return DecodingWindow(
            cross=self.window,
            prompt=[(self.window + place) % 18 for place in range(self.prompt)],
            search=self._search(),
            suppression_mask=suppression_mask,
            temperature=0.8 if self.kind == "samples" else 0.0,
            uniform_noise=torch.rand(self.rows, MAX_TOKENS, generator=generator, dtype=torch.float64),
            candidate_count=self.rows + 1 if beams else 0,
        )

    def _search(self) -> Search:
        if self.kind == "beams":
            return BeamSearch(self.rows, VOCABULARY.eot, self.longest, None)
        return Sampling(self.rows, VOCABULARY.eot, self.longest)


def new_batch() -> Batch:
    return Batch(CacheDecoder(), RowStates(ROWS, VOCABULARY, MAX_TOKENS, torch.device("cpu")))


def alone(request: WindowRequest) -> list[Hypothesis]:
    batch, decoding = new_batch(), request.decoding()
    batch.add(decoding)
    while batch.size:
        batch.step()
    return decoding.search.hypotheses()


REQUESTS = st.builds(
    WindowRequest,
    window=st.integers(0, 50),
    prompt=st.integers(1, 20),
    kind=st.sampled_from(["greedy", "beams", "samples"]),
    rows=st.integers(1, 4),
    longest=st.integers(1, 25),
    comes=st.integers(0, 30),
    leaves=st.one_of(st.none(), st.none(), st.integers(0, 12)),
)


@pytest.mark.slow
@given(requests=st.lists(REQUESTS, min_size=1, max_size=8))
@example(
    requests=[
        WindowRequest(BROKEN, 20, "greedy", 1, 3, comes=0, leaves=None),
        WindowRequest(4, 20, "greedy", 1, 12, comes=0, leaves=None),
        WindowRequest(1, 2, "greedy", 1, 12, comes=0, leaves=None),  # moves to the first one's place
    ]
)
@settings(max_examples=80, deadline=None, derandomize=True, database=None)
def test_every_window_says_what_it_says_alone(requests: list[WindowRequest]) -> None:
    batch = new_batch()
    waiting = sorted(requests, key=lambda request: request.comes)
    running: dict[DecodingWindow, tuple[WindowRequest, int]] = {}
    done: list[tuple[WindowRequest, list[Hypothesis]]] = []
    step = 0
    while waiting or running:
        batch.remove([d for d, (request, since) in running.items() if request.leaves == step - since])
        running = {d: found for d, found in running.items() if d.rows}
        assert batch.running == list(dict.fromkeys(batch.running))
        while waiting and waiting[0].comes <= step and batch.size + waiting[0].rows <= ROWS:
            request = waiting.pop(0)
            decoding = request.decoding()
            batch.add(decoding)
            running[decoding] = (request, step)
            if not decoding.rows:
                done.append((running.pop(decoding)[0], decoding.search.hypotheses()))
        if batch.size:
            for decoding in batch.step():
                done.append((running.pop(decoding)[0], decoding.search.hypotheses()))
        assert sorted(row for decoding in running for row in decoding.rows) == list(range(batch.size))
        step += 1
    assert batch.size == 0
    for request, hypotheses in done:
        assert hypotheses == alone(request), request


def test_rows_that_end_make_room_for_the_last() -> None:
    batch = new_batch()
    short, long = (
        WindowRequest(1, 3, "greedy", 3, longest, comes=0, leaves=None).decoding() for longest in (2, 9)
    )
    batch.add(short)
    batch.add(long)
    assert (short.rows, long.rows) == ([0, 1, 2], [3, 4, 5])
    assert batch.step() == [short]
    assert sorted(long.rows) == [0, 1, 2]
    assert batch.size == 3


def test_a_window_of_one_token_is_done_when_it_joins() -> None:
    batch = new_batch()
    decoding = WindowRequest(1, 3, "greedy", 1, 1, comes=0, leaves=None).decoding()
    states = batch.add(decoding)
    assert states.shape == (3, VOCABULARY.size)
    assert decoding.rows == []
    assert batch.size == 0
    assert len(decoding.search.hypotheses()[0].tokens) == 1


@pytest.mark.parametrize("kind", ["beams", "samples"])
def test_the_rows_of_a_window_attend_to_it_together(kind: str) -> None:
    batch = new_batch()
    for window in (1, 2):
        batch.add(WindowRequest(window, 4, kind, 4, 20, comes=0, leaves=None).decoding())
    assert [(rows.cross, rows.first, rows.end) for rows in batch._row_ranges] == [(1, 0, 4), (2, 4, 8)]


def test_a_window_that_cant_join_leaves_the_others_alone() -> None:
    batch = new_batch()
    sound, broken = (WindowRequest(window, 3, "greedy", 2, 20, comes=0, leaves=None) for window in (1, 2))
    decoding, failing = sound.decoding(), broken.decoding()
    failing.suppression_mask = torch.zeros(3)  # does not fit
    batch.add(decoding)
    with pytest.raises(RuntimeError):
        batch.add(failing)
    batch.remove([failing])
    while batch.size:
        batch.step()
    assert decoding.search.hypotheses() == alone(sound)


@pytest.mark.parametrize("window", range(6))
def test_a_beam_remembers_its_own_tokens(window: int) -> None:
    batch, decoding = new_batch(), WindowRequest(window, 5, "beams", 4, 25, comes=0, leaves=None).decoding()
    batch.add(decoding)
    while batch.size:
        keys = batch.decoder.cache.keys[0, :, 0, :, 0]
        for row, tokens in zip(decoding.rows, decoding.search._beams, strict=True):
            sequence = [*decoding.prompt, *tokens[:-1]]  # the last one is an input of the next step
            assert keys[row, : len(sequence)].tolist() == sequence
        batch.step()


def test_only_what_beams_do_not_share_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []
    copy = MaskedKVCache.copy

    def watched(cache: MaskedKVCache, sources: Tensor, targets: Tensor, positions: slice) -> None:
        differ = (cache.keys[:, sources] != cache.keys[:, targets])[..., : positions.stop, :]
        assert not differ[..., : positions.start, :].any()
        assert differ[..., positions.start, :].any()
        starts.append(positions.start)
        copy(cache, sources, targets, positions)

    batch = new_batch()
    batch.add(WindowRequest(3, 5, "beams", 2, 25, comes=0, leaves=None).decoding())
    monkeypatch.setattr(MaskedKVCache, "copy", watched)
    while batch.size:
        batch.step()
    assert max(starts) > 5
