"""Train the network: `python -m training.train build/run1 --corpus build/corpus.pkl --seconds 540`."""

import argparse
import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import torch

from training import schedule
from training.batches import BatchMaker
from training.losses import Losses, losses
from training.model import Network
from training.synthesize import Corpus
from training.vocabulary import Vocabulary

LONGEST_FRAMES = 1100
_SAVE_EVERY_SECONDS = 240
_REPORT_EVERY_STEPS = 50
_COLUMNS = ("step", "seconds", "kind", "decoder", "phoneme", "word", "attention", "accuracy")


class Folder:
    """The files of a training run. `state.pt` and `vocabulary.json` are what a later run resumes from."""

    def __init__(self, path: Path) -> None:
        self.state = path / "state.pt"
        self.vocabulary = path / "vocabulary.json"
        self.checkpoint = path / "checkpoint.pt"
        self.losses = path / "losses.csv"

    def save(self, network: Network) -> None:
        """Write the state and the checkpoint; a run that is stopped meanwhile leaves the old ones."""
        partial = self.state.with_suffix(".partial")
        torch.save(network.state_dict(), partial)
        partial.replace(self.state)
        network.export(partial)
        partial.replace(self.checkpoint)


@dataclass(frozen=True)
class Clock:
    """How far a run has come: by `steps` if given, else by `seconds`, from `start` to 1."""

    seconds: float
    steps: int | None
    start: float

    def progress(self, step: int, elapsed: float) -> float:
        done = elapsed / self.seconds if self.steps is None else step / self.steps
        return self.start + (1 - self.start) * done


class Trainer:
    """The network with its optimizer."""

    def __init__(self, network: Network, learning_rate: float, warmup_steps: int) -> None:
        self.network = network
        self._learning_rate = learning_rate
        self._warmup_steps = warmup_steps
        self._optimizer = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01
        )

    def run(
        self, batches: BatchMaker, clock: Clock, fixed_mix: tuple[float, float] | None = None
    ) -> Iterator[dict[str, float | str]]:
        """Train until the clock has run out; yields the figures of each step, by _COLUMNS."""
        started, step = time.monotonic(), 0
        while (progress := clock.progress(step, time.monotonic() - started)) < 1:
            mix = fixed_mix or schedule.batch_mix(progress)
            kind = schedule.batch_kind(mix, batches.rng.random())
            batch = batches.draw(kind, schedule.prompt_share(progress))
            measured = losses(self.network, batch, schedule.timestamp_sigma(progress))
            self._learn(measured, progress, step)
            step += 1
            elapsed = round(time.monotonic() - started, 1)
            yield {"step": step, "seconds": elapsed, "kind": kind, **measured.floats()}

    def _learn(self, measured: Losses, progress: float, step: int) -> None:
        factor = schedule.learning_rate_factor(progress, step, self._warmup_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate * factor
        weights = schedule.loss_weights(progress)
        total = sum(weight * getattr(measured, name) for name, weight in weights.items())
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        length = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if torch.isfinite(length):
            self._optimizer.step()
        self.network.hold_unused()


def load_corpus(path: Path, vocabulary: Vocabulary | None) -> tuple[Corpus, Vocabulary]:
    """The corpus without overlong utterances, and its vocabulary.

    Where a vocabulary is given, that stays, and what goes beyond it is left out.
    """
    corpus = Corpus.load(path)
    kept = [utterance for utterance in corpus.utterances if utterance.frames < LONGEST_FRAMES]
    if vocabulary:
        kept = [utterance for utterance in kept if vocabulary.covers(utterance)]
    return replace(corpus, utterances=kept), vocabulary or Vocabulary.of(kept)


def record(rows: Iterator[dict[str, float | str]], network: Network, folder: Folder) -> None:
    """Follow a run to its end: write its figures, print means, save every four minutes and at the end."""
    recent: list[dict[str, float | str]] = []
    saved = time.monotonic()
    with folder.losses.open("w", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            recent.append(row)
            if len(recent) == _REPORT_EVERY_STEPS:
                print(_summary(recent), flush=True)
                recent.clear()
            if time.monotonic() - saved > _SAVE_EVERY_SECONDS:
                folder.save(network)
                saved = time.monotonic()
    folder.save(network)


def _summary(rows: list[dict[str, float | str]]) -> str:
    parts = [f"step {rows[-1]['step']}, {rows[-1]['seconds']} s"]
    for kind in ("single", "several", "full"):
        own = [row for row in rows if row["kind"] == kind]
        if own:
            means = [f"{name} {fmean(float(row[name]) for row in own):.3f}" for name in _COLUMNS[3:]]
            parts.append(f"{kind}: {' '.join(means)}")
    return " | ".join(parts)


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write state, checkpoint, vocabulary and losses")
    parser.add_argument("--corpus", type=Path, required=True, help="what training.synthesize wrote")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--seconds", type=float, help="train for so long")
    length.add_argument("--steps", type=int, help="train for so many batches")
    parser.add_argument("--resume", type=Path, help="the folder of an earlier run to go on from")
    parser.add_argument(
        "--start", type=float, default=0.0, help="where in the schedule to start, 0 to 1 (default 0)"
    )
    parser.add_argument("--mix", choices=("rising", "final"), default="rising", help="lengths of windows")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--warmup-steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    folder, earlier = Folder(arguments.folder), Folder(arguments.resume or arguments.folder)
    known = Vocabulary.load(earlier.vocabulary) if arguments.resume else None
    corpus, vocabulary = load_corpus(arguments.corpus, known)
    vocabulary.save(folder.vocabulary)
    network = Network(vocabulary)
    if arguments.resume:
        network.load_state_dict(torch.load(earlier.state, weights_only=True))
    trainer = Trainer(network, arguments.learning_rate, arguments.warmup_steps)
    clock = Clock(arguments.seconds, arguments.steps, arguments.start)
    mix = schedule.FINAL_MIX if arguments.mix == "final" else None
    batches = BatchMaker(corpus, vocabulary, arguments.seed)
    record(trainer.run(batches, clock, mix), network, folder)


if __name__ == "__main__":
    main()
