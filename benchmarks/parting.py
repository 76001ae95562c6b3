"""Where a text parts from openai-whisper's: how close the two were there."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingTask


def first_difference(theirs: Sequence[int], ours: Sequence[int]) -> int | None:
    """The place of the first token that differs; None for equal texts. Both end with the end token."""
    pairs = enumerate(zip(theirs, ours, strict=False))
    return next((place for place, (their, our) in pairs if their != our), None)


def gap(
    model: Any, features: Tensor, options: DecodingOptions, theirs: Sequence[int], ours: Sequence[int]
) -> float:
    """How far apart, in logits, openai-whisper itself holds the two tokens where greedy texts part first.

    `model` is a `whisper.model.Whisper`, `features` are `[1500, state]`; no text has its end token.
    Where the rule decides that prefers timestamps, it is how far all of them together are from the best text.
    """
    task = DecodingTask(model, options)
    eot, begin = task.tokenizer.eot, task.tokenizer.timestamp_begin
    place = first_difference((*theirs, eot), (*ours, eot))
    if place is None:
        return 0.0
    tokens = torch.tensor([[*task.initial_tokens, *theirs[:place]]], device=features.device)
    with torch.no_grad():
        logits = model.logits(tokens, features[None])[:, -1].double()
    logits[:, :begin] += 1e6  # so that the rule which prefers times never applies
    for rule in task.logit_filters:
        rule.apply(logits, tokens)
    logits[:, :begin] -= 1e6
    times = logits[0, begin:].logsumexp(-1) - logits[0, :begin].max()
    tokens_apart = logits[0, (*theirs, eot)[place]] - logits[0, (*ours, eot)[place]]
    return float(min(abs(times), abs(tokens_apart)))
