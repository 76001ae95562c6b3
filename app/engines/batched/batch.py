"""The rows that are being decoded. Rows join after any step; a row that is done is replaced by the last."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from app.engines.batched.beam import Candidates, Move, Search
from app.engines.batched.cross_attention import CrossKV
from app.engines.batched.decoder import Decoder, Run
from app.engines.batched.token_rules import Chosen, RowStates

CopyStates = Callable[[Tensor, Tensor], None]


@dataclass(eq=False)
class Decoding:
    """One window's way through the batch. `rows` are the batch's rows that work for it now."""

    cross: CrossKV
    prompt: list[int]
    search: Search
    suppressed: Tensor
    temperature: float
    draws: Tensor
    candidates: int
    rows: list[int] = field(default_factory=list)
    no_speech_prob: float = 0.0


class Batch:
    """Rows 0 to `size`, their caches and states. Knows no policy: what joins was let in elsewhere."""

    def __init__(self, decoder: Decoder, states: RowStates) -> None:
        self._decoder = decoder
        self._states = states
        self._owners: list[Decoding] = []
        self._tokens: list[int] = []
        self._lengths: list[int] = []
        self._said: list[list[int]] = []
        self._runs: list[Run] = []

    @property
    def size(self) -> int:
        """How many rows run."""
        return len(self._owners)

    @property
    def running(self) -> list[Decoding]:
        """What runs, in the order of its first rows."""
        return list(dict.fromkeys(self._owners))

    def join(self, decoding: Decoding) -> Tensor:
        """Read a window's prompt and choose its first tokens; the prompt's states `[length, state]`."""
        first, rows = self.size, decoding.search.rows
        decoding.rows = list(range(first, first + rows))
        self._decoder.cache.clear(slice(first, first + rows))
        states = self._decoder.read(decoding.prompt, decoding.cross, row=first)
        for place, row in enumerate(decoding.rows):
            self._states.start(row, decoding.suppressed, decoding.temperature, decoding.draws[place])
        self._owners += [decoding] * rows
        self._lengths += [len(decoding.prompt)] * rows
        self._tokens += [0] * rows
        self._said += [[] for _ in range(rows)]
        self._spread(first, decoding.rows)
        logits = self._decoder.logits(states[-1:]).repeat(rows, 1)
        self._advance(logits, slice(first, first + rows))
        return states

    def step(self) -> list[Decoding]:
        """One more token for every row; what is done now and has left."""
        before = self.running
        tokens, lengths = self._upload(self._tokens), self._upload(self._lengths)
        logits = self._decoder.step(tokens, lengths, max(self._lengths), self._runs)
        self._lengths = [length + 1 for length in self._lengths]
        for said, token in zip(self._said, self._tokens, strict=True):
            said.append(token)
        self._advance(logits, slice(0, self.size))
        return [decoding for decoding in before if not decoding.rows]

    def remove(self, decodings: Sequence[Decoding]) -> None:
        """Take out what nobody waits for any more."""
        for decoding in decodings:
            decoding.rows = []
        self._close_gaps()

    def _spread(self, first: int, rows: list[int]) -> None:
        """All rows of a window have read the same prompt."""
        if len(rows) > 1:
            sources = self._upload([first] * (len(rows) - 1))
            self._decoder.cache.copy(sources, self._upload(rows[1:]), slice(0, self._lengths[first]))

    def _advance(self, logits: Tensor, rows: slice) -> None:
        """Choose tokens, ask each window's search what goes on, and close the gaps."""
        decodings = list(dict.fromkeys(self._owners[rows]))
        sample = any(decoding.temperature > 0 for decoding in decodings)
        widest = max(decoding.candidates for decoding in decodings)
        self._states.forbid(logits, rows)
        found = _fetch(self._states.choose(logits, rows, sample, widest))
        for decoding in decodings:
            moves = decoding.search.advance([found[row - rows.start] for row in decoding.rows])
            self._go_on(decoding, moves)
        self._close_gaps()
        self._note_tokens([row for decoding in decodings for row in decoding.rows])

    def _go_on(self, decoding: Decoding, moves: Sequence[Move]) -> None:
        """Keep the rows that go on; beams may continue from each other's."""
        sources = [decoding.rows[move.source] for move in moves]
        targets = sources if len(set(sources)) == len(sources) else decoding.rows[: len(moves)]
        if targets != sources:
            said = [self._said[row] for row in sources]
            alike = min(map(_alike, said, (self._said[row] for row in targets)))
            self._copy(sources, targets, self._states.copy_history, len(decoding.prompt) + alike)
            for row, tokens in zip(targets, said, strict=True):
                self._said[row] = tokens.copy()
        for row, move in zip(targets, moves, strict=True):
            self._tokens[row] = move.token
        decoding.rows = targets

    def _close_gaps(self) -> None:
        """Move the last rows into the places of those that are done."""
        kept = {row: decoding for decoding in self.running for row in decoding.rows}
        size = len(kept)
        holes = [row for row in range(size) if row not in kept]
        last = sorted(row for row in kept if row >= size)
        if holes:
            self._copy(last, holes, self._states.copy)
        for source, target in zip(last, holes, strict=True):
            owner = kept.pop(source)
            kept[target] = owner
            owner.rows[owner.rows.index(source)] = target
            self._tokens[target], self._lengths[target] = self._tokens[source], self._lengths[source]
            self._said[target] = self._said[source]
        self._owners = [kept[row] for row in range(size)]
        del self._tokens[size:], self._lengths[size:], self._said[size:]
        self._runs = _runs(self._owners)

    def _copy(self, sources: list[int], targets: list[int], states: CopyStates, alike: int = 0) -> None:
        """Rows `targets` continue from `sources`, whose first `alike` places are theirs already."""
        moves = [
            (source, target) for source, target in zip(sources, targets, strict=True) if source != target
        ]
        uploaded = (
            self._upload([source for source, _ in moves]),
            self._upload([target for _, target in moves]),
        )
        longest = max(self._lengths[row] for move in moves for row in move)  # nothing stays of the targets'
        self._decoder.cache.copy(*uploaded, slice(alike, longest))
        states(*uploaded)

    def _note_tokens(self, rows: list[int]) -> None:
        if rows:
            self._states.add(self._upload(rows), self._upload([self._tokens[row] for row in rows]))

    def _upload(self, numbers: list[int]) -> Tensor:
        device = self._states.sampled.device
        pinned = torch.tensor(numbers, pin_memory=device.type == "cuda")
        return pinned.to(device, non_blocking=True)


def _fetch(chosen: Chosen) -> list[Candidates]:
    """A step's outcome on the host, in one transfer: token ids are exact in float64."""
    parts = [chosen.tokens[:, None].double(), chosen.logprobs[:, None].double()]
    if chosen.candidates is not None and chosen.candidate_logprobs is not None:
        parts += [chosen.candidates.double(), chosen.candidate_logprobs.double()]
    rows = torch.cat(parts, dim=1).tolist()
    width = (len(rows[0]) - 2) // 2
    return [
        Candidates(int(row[0]), row[1], [int(token) for token in row[2 : 2 + width]], row[2 + width :])
        for row in rows
    ]


def _runs(owners: Sequence[Decoding]) -> list[Run]:
    """Neighbouring rows of the same window together."""
    runs: list[Run] = []
    for row, owner in enumerate(owners):
        if runs and runs[-1].cross is owner.cross:
            runs[-1] = runs[-1]._replace(end=row + 1)
        else:
            runs.append(Run(owner.cross, row, row + 1))
    return runs


def _alike(said: list[int], other: list[int]) -> int:
    """How many tokens two rows of a window have in common before they part."""
    pairs = zip(said, other, strict=True)
    return next((place for place, (one, another) in enumerate(pairs) if one != another), len(said))
