"""What changes while training goes on; `progress` runs from 0 to 1."""

import math

# Shares of batches of several utterances, and of full 30 s windows; the rest are single utterances.
FINAL_MIX = (0.3, 0.4)


def learning_rate_factor(progress: float, step: int, warmup_steps: int) -> float:
    """Rises over the first steps, stays, and falls along a cosine to 2 % from a quarter on."""
    warmup = min(1.0, (step + 1) / warmup_steps)
    if progress <= 0.25:
        return warmup
    return warmup * (0.02 + 0.49 * (1 + math.cos(math.pi * (progress - 0.25) / 0.75)))


def batch_mix(progress: float) -> tuple[float, float]:
    """The shares of `several` and `full` batches: longer windows come later."""
    several = 0.0 if progress < 0.25 else 0.25 if progress < 0.5 else 0.4
    full = 0.0 if progress < 0.5 else 0.08 if progress < 0.65 else 0.28
    return several, full


def batch_kind(mix: tuple[float, float], chance: float) -> str:
    """The kind of a batch for a random number from 0 to 1."""
    several, full = mix
    if chance < full:
        return "full"
    return "several" if chance < full + several else "single"


def prompt_share(progress: float) -> float:
    """The share of batches with text before `<|startofprev|>`."""
    return 0.0 if progress < 0.3 else 0.12


def timestamp_sigma(progress: float) -> float:
    """How wide a timestamp's target is, in steps of 20 ms."""
    return 2.0 if progress < 0.5 else 1.0 if progress < 0.8 else 0.7


def loss_weights(progress: float) -> dict[str, float]:
    """How much each of the losses counts."""
    frames = 1.0 if progress < 0.5 else 0.5
    return {
        "decoder": 1.0,
        "phoneme": 0.4 * frames,
        "word": 0.6 * frames,
        "attention": 0.3 if progress < 0.65 else 0.5,
    }
