"""Two models that share the engine's thread, against one after the other.

    python -m benchmarks two_models base small --clients 4 --windows 4 --turns 5

Each of so many clients of a model decodes so many windows, one after the other, as a request does. First the
clients of one model alone, then those of the other one alone, then all at once; the median of the turns of
each. Random weights of OpenAI's dimensions, which say --tokens in each window. Run it on a quiet machine.
"""

import argparse
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from app.checkpoints import resolve
from app.engines import new_thread, start
from app.engines.interface import EngineOptions, LiveEngine, Window, WindowOptions
from app.settings import Settings
from benchmarks.random_weights import SIZES, write


def main(arguments: list[str] | None = None) -> None:
    """Print the medians and what sharing costs."""
    options = _parser().parse_args(arguments)
    thread = new_thread()
    engines = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number, size in enumerate((options.first, options.second)):
                path = Path(folder) / f"{number}-{size}.pt"
                write(path, SIZES[size], options.tokens, seed=number)
                checkpoint = resolve(Settings(model=str(path)), fetch=False)
                engine_options = EngineOptions(options.threads, thread=thread)
                engines.append(start("batched", checkpoint, options.device, engine_options))
        measure(engines, options)
    finally:
        for engine in engines:
            engine.close()
        thread.close()


def measure(engines: Sequence[LiveEngine], options: argparse.Namespace) -> None:
    """Time each engine alone and both together, in turns, so that a slow moment hits all three."""
    one, other, both = [], [], []
    for _ in range(options.turns):
        one.append(seconds(engines[:1], options.clients, options.windows))
        other.append(seconds(engines[1:], options.clients, options.windows))
        both.append(seconds(engines, options.clients, options.windows))
    apart, together = median(one) + median(other), median(both)
    print(f"{options.first} alone {median(one):.2f} s, {options.second} alone {median(other):.2f} s")
    print(f"one after the other {apart:.2f} s, side by side {together:.2f} s: {together / apart - 1:+.1%}")


def seconds(engines: Sequence[LiveEngine], clients: int, windows: int) -> float:
    """How long all clients of all engines take, so many for each engine."""
    asked = [engine for engine in engines for _ in range(clients)]
    began = perf_counter()
    with ThreadPoolExecutor(len(asked)) as threads:
        for done in [threads.submit(_client, engine, windows) for engine in asked]:
            done.result()
    return perf_counter() - began


def _client(engine: LiveEngine, windows: int) -> None:
    recording = engine.open(np.zeros(16_000 * 30 * windows, np.float32))
    try:
        for number in range(windows):
            window = Window(recording, number * 3_000, 3_000)
            engine.submit(window, WindowOptions(language="en")).result()
    finally:
        recording.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("first", nargs="?", default="tiny", choices=SIZES)
    parser.add_argument("second", nargs="?", default="base", choices=SIZES)
    parser.add_argument("--clients", type=int, default=4, help="of each model")
    parser.add_argument("--windows", type=int, default=4, help="of each client")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=40, help="in each window")
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0: one per core")
    parser.add_argument("--device", default="cpu")
    return parser


if __name__ == "__main__":
    main()
