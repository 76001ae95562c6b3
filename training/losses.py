"""What training makes small."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from training.batches import Batch
from training.model import Encoded, Network
from training.targets import IGNORED, POSITION_SECONDS

_REACH = 5  # timestamp steps to either side that share a timestamp's target


@dataclass(frozen=True)
class Losses:
    """Mean losses of one batch (cross entropies, and the attention's), and the share of right words."""

    decoder: torch.Tensor
    phoneme: torch.Tensor
    word: torch.Tensor
    attention: torch.Tensor
    accuracy: torch.Tensor

    def floats(self) -> dict[str, float]:
        return {name: float(value.detach()) for name, value in vars(self).items()}


def losses(network: Network, batch: Batch, timestamp_sigma: float) -> Losses:
    """Run the network over a batch. `timestamp_sigma`, in 20 ms steps: how wide a timestamp's target is."""
    encoded = network.encode(batch.mel, batch.lead, batch.trail, batch.start)
    output, attention = network.decode(batch.rows, encoded)
    decoder, accuracy = _decoder_loss(network, batch, output, timestamp_sigma)
    phoneme, word = _frame_losses(network, batch, encoded)
    return Losses(decoder, phoneme, word, _attention_loss(batch, encoded, attention), accuracy)


def _frame_losses(network: Network, batch: Batch, encoded: Encoded) -> tuple[torch.Tensor, torch.Tensor]:
    known = batch.phonemes != IGNORED
    states = encoded.states[:, encoded.heard][known]
    phonemes, words = batch.phonemes[known], batch.words[known]
    last = functional.cross_entropy(network.phonemes(states), phonemes)
    middle = functional.cross_entropy(network.middle_phonemes(encoded.middle[known]), phonemes)
    return 0.3 * last + 0.7 * middle, functional.cross_entropy(network.words(states), words)


def _decoder_loss(
    network: Network, batch: Batch, output: torch.Tensor, sigma: float
) -> tuple[torch.Tensor, torch.Tensor]:
    asked = batch.targets != IGNORED
    targets = batch.targets[asked]
    scores = (output[asked] @ network.embedding.T).log_softmax(-1)
    first, last = network.timestamp_rows[0], network.timestamp_rows[-1]
    is_time = (targets >= first) & (targets <= last)
    exact = -scores.gather(1, targets[:, None])[:, 0]
    offsets = torch.arange(-_REACH, _REACH + 1)
    share = torch.exp(-0.5 * (offsets / sigma) ** 2)
    near = (targets[:, None] + offsets).clamp(first, last)
    soft = -(scores.gather(1, near) * share / share.sum()).sum(1)
    right = (scores.argmax(-1) == targets) & ~is_time
    return torch.where(is_time, soft, exact).mean(), right.sum() / (~is_time).sum().clamp(min=1)


def _attention_loss(batch: Batch, encoded: Encoded, attention: list[torch.Tensor]) -> torch.Tensor:
    """How little the cross-attention looks where it should.

    Every head of the last half of the layers, by which whisper times words, looks at the span of the row
    to be said next; two heads of the first layer at the span of the row just read.
    """
    seconds = encoded.positions * POSITION_SECONDS
    starts, ends = batch.spans[..., :1], batch.spans[..., 1:]
    inside = ((seconds >= starts) & (seconds <= ends + POSITION_SECONDS) & (ends > 0)).float()  # [B, S, P]
    late = attention[len(attention) // 2 :]
    parts = [_missed(weights[:, :, :-1], inside[:, 1:]) for weights in late]
    parts.append(_missed(attention[0][:, :2], inside))
    return torch.stack(parts).mean()


def _missed(weights: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Mean of -log(weight inside the span) over heads and over the rows that have a span."""
    has_span = inside.sum(-1) > 0
    mass = (weights * inside[:, None]).sum(-1)
    missed = -(mass + 1e-4).log() * has_span[:, None]
    return missed.sum() / has_span.sum().clamp(min=1) / weights.shape[1]
