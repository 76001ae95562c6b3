"""What loading a model takes beside what the worker holds afterwards, for each format of weights.

Random weights of OpenAI's dimensions. Each is loaded in a process of its own, whose anonymous memory is
looked at all the while: pages of mapped files, which the system takes back when it needs them, don't count.
Prints a table in Markdown.
"""

import argparse
import multiprocessing
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from time import sleep

from app.checkpoints.dimensions import Dimensions

GOAL = 1.35
FORMATS = ("torch", "huggingface", "ctranslate2")
PRECISIONS = ("exact", "int8")

_PAUSE_SECONDS = 0.001


@dataclass(frozen=True)
class Loaded:
    """MiB of anonymous memory: before the model, at most while it was loaded, and afterwards."""

    size: str
    format: str
    stored: str
    precision: str
    before: float
    peak: float
    rest: float

    @property
    def ratio(self) -> float:
        """The peak in relation to what is held afterwards."""
        return self.peak / self.rest


def table(measured: Iterable[Loaded]) -> Iterator[str]:
    """Markdown, line by line; the goal is held against the worst of them."""
    yield "| size | format | stored as | precision | before | peak | at rest | peak / rest |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    worst = 0.0
    for one in measured:
        worst = max(worst, one.ratio)
        megabytes = [f"{count:.0f} MiB" for count in (one.before, one.peak, one.rest)]
        cells = [one.size, one.format, one.stored, one.precision, *megabytes, f"{one.ratio:.2f}"]
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield f"At most {GOAL}: {'kept' if worst <= GOAL else 'broken'}."


def anonymous_megabytes(status: str) -> float:
    """The anonymous memory that /proc/PID/status states, in MiB."""
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


class Watch:
    """Looks at this process's anonymous memory all the while."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.is_set():
            self.peak = max(self.peak, now())
            sleep(_PAUSE_SECONDS)


def now() -> float:
    """This process's anonymous memory, in MiB."""
    return anonymous_megabytes(Path("/proc/self/status").read_text())


def load(path: Path, size: str, stored: str, precision: str) -> Loaded:
    """Load a checkpoint as a worker does, in this process."""
    # torch, imported here: the process that starts this one needs none
    import torch  # noqa: PLC0415

    from app import memory  # noqa: PLC0415
    from app.checkpoints import found_at  # noqa: PLC0415
    from app.engines.batched.model import load as load_model  # noqa: PLC0415

    torch.set_num_threads(1)
    found = found_at(path)
    before = now()
    with Watch() as watch:
        model = load_model(found, torch.device("cpu"), precision)
    memory.trim()
    loaded = Loaded(size, found.format, stored, precision, before, watch.peak, now())
    assert model.name  # the model is held until here
    return loaded


def write(path: Path, size: str, format: str, stored: str) -> Path:
    """Random weights of a size, in a format, as numbers of a type."""
    # transformers and torch, imported here for the same reason
    import torch  # noqa: PLC0415

    from benchmarks.random_weights import SIZES  # noqa: PLC0415
    from tests.foreign_weights import random_model, write_ctranslate2, write_hugging_face  # noqa: PLC0415

    dims = Dimensions(**asdict(SIZES[size]))
    dtype = getattr(torch, stored)
    if format == "huggingface":
        return write_hugging_face(path, random_model(dims), dtype)
    weights = {name: torch.randn(shape) / 50 for name, shape in dims.shapes().items()}
    if format == "ctranslate2":
        return write_ctranslate2(path, weights, dims, stored)
    halves = {name: tensor.to(dtype) for name, tensor in weights.items()}
    torch.save({"dims": asdict(dims), "model_state_dict": halves}, path)
    return path


def measure(folder: Path, sizes: Sequence[str], stored: Sequence[str]) -> Iterator[Loaded]:
    """Each of the formats, types and precisions."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for size, format, kind in product(sizes, FORMATS, stored):
            path = pool.apply(write, (folder / f"{size}-{format}-{kind}", size, format, kind))
            for precision in PRECISIONS:
                yield pool.apply(load, (path, size, kind, precision))


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="loading_memory", description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["base", "small"], help="OpenAI's names")
    parser.add_argument("--stored", nargs="+", default=["float16", "float32"], help="types of numbers")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for line in table(measure(Path(folder), options.sizes, options.stored)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
