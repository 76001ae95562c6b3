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

from app.engines.batched.batch import Batch, Decoding
from app.engines.batched.beam import BeamSearch, Hypothesis, Sampling, Search
from app.engines.batched.decoder import Run
from app.engines.batched.kv_cache import KVCache
from app.engines.batched.token_rules import RowStates, Vocabulary

VOCABULARY = Vocabulary(eot=12, timestamp_begin=18, no_timestamps=17, size=40, last_first_timestamp=5)
ROWS = 12
CONTEXT = 64
DRAWS = 30
BROKEN = 7
"""A window that makes the model compute NaN."""


class TellingDecoder:
    """As much of a Decoder as a batch touches."""

    def __init__(self) -> None:
        self.cache = KVCache((1, ROWS, 1, CONTEXT, 1), like=torch.zeros(1))
        self.cache.keys.fill_(torch.nan)
        self.steps = 0

    def read(self, tokens: list[int], cross: int, row: int) -> Tensor:
        told = torch.tensor(tokens, dtype=torch.float32).view(1, -1, 1)
        told = told * torch.nan if cross == BROKEN else told
        self.cache.put_prompt(0, row, told, -told)
        return torch.stack([logits(cross, tokens[: place + 1]) for place in range(len(tokens))])

    def logits(self, states: Tensor) -> Tensor:
        return states.clone()

    def step(self, tokens: Tensor, lengths: Tensor, longest: int, runs: list[Run]) -> Tensor:
        self.steps += 1
        rows = len(tokens)
        told = tokens.float().view(rows, 1, 1)
        crosses = [run.cross for run in runs for _ in range(run.first, run.end)]
        told[torch.tensor(crosses) == BROKEN] = torch.nan
        self.cache.put_step(0, lengths, told, -told)
        keys, values = self.cache.seen(0, rows, longest + 1)
        sound = [row for row, cross in enumerate(crosses) if cross != BROKEN]
        assert torch.equal(keys[sound], -values[sound])  # places that a row doesn't use yet are no NaN either
        assert [run.first for run in runs] == [0, *(run.end for run in runs[:-1])]
        read = keys.nan_to_num()
        seen = [read[row, 0, : length + 1, 0].long().tolist() for row, length in enumerate(lengths.tolist())]
        return torch.stack([logits(cross, row) for cross, row in zip(crosses, seen, strict=True)])


def logits(cross: int, tokens: Sequence[int]) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(repr((cross, list(tokens))).encode()))
    found = torch.randn(VOCABULARY.size, generator=generator)
    found[VOCABULARY.eot] += 0.08 * len(tokens)
    return found


@dataclass(frozen=True)
class Wish:
    """A window to decode, and when it comes; `leaves` so many steps later, if at all."""

    window: int
    prompt: int
    kind: str
    rows: int
    longest: int
    comes: int
    leaves: int | None

    def decoding(self) -> Decoding:
        beams = self.kind == "beams"
        suppressed = torch.zeros(VOCABULARY.size)
        suppressed[self.window % 12] = float("-inf")
        generator = torch.Generator().manual_seed(self.window)
        return Decoding(
            cross=self.window,
            prompt=[(self.window + place) % 18 for place in range(self.prompt)],
            search=self._search(),
            suppressed=suppressed,
            temperature=0.8 if self.kind == "samples" else 0.0,
            draws=torch.rand(self.rows, DRAWS, generator=generator, dtype=torch.float64),
            candidates=self.rows + 1 if beams else 0,
        )

    def _search(self) -> Search:
        if self.kind == "beams":
            return BeamSearch(self.rows, VOCABULARY.eot, self.longest, None)
        return Sampling(self.rows, VOCABULARY.eot, self.longest)


def new_batch() -> Batch:
    return Batch(TellingDecoder(), RowStates(ROWS, VOCABULARY, DRAWS, torch.device("cpu")))


def alone(wish: Wish) -> list[Hypothesis]:
    batch, decoding = new_batch(), wish.decoding()
    batch.join(decoding)
    while batch.size:
        batch.step()
    return decoding.search.hypotheses()


WISHES = st.builds(
    Wish,
    window=st.integers(0, 50),
    prompt=st.integers(1, 20),
    kind=st.sampled_from(["greedy", "beams", "samples"]),
    rows=st.integers(1, 4),
    longest=st.integers(1, 25),
    comes=st.integers(0, 30),
    leaves=st.one_of(st.none(), st.none(), st.integers(0, 12)),
)


@pytest.mark.slow
@given(wishes=st.lists(WISHES, min_size=1, max_size=8))
@example(
    wishes=[
        Wish(BROKEN, 20, "greedy", 1, 3, comes=0, leaves=None),
        Wish(4, 20, "greedy", 1, 12, comes=0, leaves=None),
        Wish(1, 2, "greedy", 1, 12, comes=0, leaves=None),  # moves to the first one's place
    ]
)
@settings(max_examples=80, deadline=None, derandomize=True, database=None)
def test_every_window_says_what_it_says_alone(wishes: list[Wish]) -> None:
    batch = new_batch()
    waiting = sorted(wishes, key=lambda wish: wish.comes)
    running: dict[Decoding, tuple[Wish, int]] = {}
    done: list[tuple[Wish, list[Hypothesis]]] = []
    step = 0
    while waiting or running:
        batch.remove([d for d, (wish, since) in running.items() if wish.leaves == step - since])
        running = {d: found for d, found in running.items() if d.rows}
        assert batch.running == list(dict.fromkeys(batch.running))
        while waiting and waiting[0].comes <= step and batch.size + waiting[0].rows <= ROWS:
            wish = waiting.pop(0)
            decoding = wish.decoding()
            batch.join(decoding)
            running[decoding] = (wish, step)
            if not decoding.rows:
                done.append((running.pop(decoding)[0], decoding.search.hypotheses()))
        if batch.size:
            for decoding in batch.step():
                done.append((running.pop(decoding)[0], decoding.search.hypotheses()))
        assert sorted(row for decoding in running for row in decoding.rows) == list(range(batch.size))
        step += 1
    assert batch.size == 0
    for wish, hypotheses in done:
        assert hypotheses == alone(wish), wish


def test_rows_that_end_make_room_for_the_last() -> None:
    batch = new_batch()
    short, long = (Wish(1, 3, "greedy", 3, longest, comes=0, leaves=None).decoding() for longest in (2, 9))
    batch.join(short)
    batch.join(long)
    assert (short.rows, long.rows) == ([0, 1, 2], [3, 4, 5])
    assert batch.step() == [short]
    assert sorted(long.rows) == [0, 1, 2]
    assert batch.size == 3


def test_a_window_of_one_token_is_done_when_it_joins() -> None:
    batch = new_batch()
    decoding = Wish(1, 3, "greedy", 1, 1, comes=0, leaves=None).decoding()
    states = batch.join(decoding)
    assert states.shape == (3, VOCABULARY.size)
    assert decoding.rows == []
    assert batch.size == 0
    assert len(decoding.search.hypotheses()[0].tokens) == 1


@pytest.mark.parametrize("kind", ["beams", "samples"])
def test_the_rows_of_a_window_listen_to_it_together(kind: str) -> None:
    batch = new_batch()
    for window in (1, 2):
        batch.join(Wish(window, 4, kind, 4, 20, comes=0, leaves=None).decoding())
    assert [(run.cross, run.first, run.end) for run in batch._runs] == [(1, 0, 4), (2, 4, 8)]


def test_a_window_that_cant_join_leaves_the_others_alone() -> None:
    batch = new_batch()
    sound, broken = (Wish(window, 3, "greedy", 2, 20, comes=0, leaves=None) for window in (1, 2))
    decoding, failing = sound.decoding(), broken.decoding()
    failing.suppressed = torch.zeros(3)  # does not fit
    batch.join(decoding)
    with pytest.raises(RuntimeError):
        batch.join(failing)
    batch.remove([failing])
    while batch.size:
        batch.step()
    assert decoding.search.hypotheses() == alone(sound)


@pytest.mark.parametrize("window", range(6))
def test_a_beam_remembers_its_own_tokens(window: int) -> None:
    batch, decoding = new_batch(), Wish(window, 5, "beams", 4, 25, comes=0, leaves=None).decoding()
    batch.join(decoding)
    while batch.size:
        keys = batch._decoder.cache.keys[0, :, 0, :, 0]
        for row, tokens in zip(decoding.rows, decoding.search._beams, strict=True):
            told = [*decoding.prompt, *tokens[:-1]]  # the last one is told in the next step
            assert keys[row, : len(told)].tolist() == told
        batch.step()


def test_only_what_beams_do_not_share_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []
    copy = KVCache.copy

    def watched(cache: KVCache, sources: Tensor, targets: Tensor, places: slice) -> None:
        differ = (cache.keys[:, sources] != cache.keys[:, targets])[..., : places.stop, :]
        assert not differ[..., : places.start, :].any()
        assert differ[..., places.start, :].any()
        starts.append(places.start)
        copy(cache, sources, targets, places)

    batch = new_batch()
    batch.join(Wish(3, 5, "beams", 2, 25, comes=0, leaves=None).decoding())
    monkeypatch.setattr(KVCache, "copy", watched)
    while batch.size:
        batch.step()
    assert max(starts) > 5
