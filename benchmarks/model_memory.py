"""What loading and unloading a model leaves behind, round after round.

    python -m benchmarks model_memory base --rounds 20

A first model stays; a second one is loaded, decodes a window, and is unloaded, as a server with
WHISPER_MODELS does it. After each unload the process's resident bytes are read, and on a GPU the bytes that
torch has allocated. Prints one line a round, and by how much the worst one exceeds the first, without
the pages of files, libraries' above all, which the system takes back when it needs them. Random
weights of OpenAI's dimensions where no file is given.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from app import memory
from app.checkpoints import Checkpoint, resolve
from app.engines import give_back_memory, new_thread, start
from app.engines.interface import EngineOptions, LiveEngine, Window, WindowOptions
from app.loaded_model import LoadedModel
from app.model_pool import ModelPool
from app.pool_slots import PoolLimits, Wanted
from app.settings import Settings
from benchmarks.random_weights import SIZES, write

TOLERANCE = 0.05
"""By how much of the first round's bytes any other may exceed it."""


def main(arguments: list[str] | None = None) -> int:
    """Run the rounds. The exit status is 1 if one has held more than TOLERANCE over the first."""
    options = _parser().parse_args(arguments)
    memory.limit_arenas()  # as a server does
    with tempfile.TemporaryDirectory() as folder:
        path = options.weights or _random(options.size, Path(folder))
        checkpoint = resolve(Settings(model=str(path)), fetch=False)
        held = []
        for number, (resident, files, allocated) in enumerate(rounds(checkpoint, options), start=1):
            held.append(allocated or resident - files)
            shown = f"{resident / 1e6:.1f} MB resident, {files / 1e6:.1f} MB of it of files"
            print(f"round {number}: {shown}, {allocated / 1e6:.1f} MB allocated on GPUs")
    growth = max(held) / held[0] - 1
    print(f"the worst round holds {growth:.1%} more than the first, the last {held[-1] / held[0] - 1:+.1%}")
    return int(growth > TOLERANCE)


def rounds(checkpoint: Checkpoint, options: argparse.Namespace) -> Iterator[tuple[int, int, int]]:
    """After each unload: resident bytes, those of them that are files' pages, and bytes allocated on GPUs."""
    thread = new_thread()
    first = start("batched", resolve(Settings(model="demo")), options.device, EngineOptions(1, thread=thread))
    pool = ModelPool(PoolLimits(1), give_back_memory)
    engine_options = EngineOptions(1, 0, options.precision, thread=thread, beside=True)

    def load() -> LoadedModel:
        return LoadedModel.of(start("batched", checkpoint, options.device, engine_options))

    wanted = Wanted("second", "second", 0, load)
    try:
        for _ in range(options.rounds):
            with pool.lease(wanted, _stay) as model:
                _decode(model.engine)
            del model
            pool.unload("second", _stay)
            yield *resident_bytes(), allocated_bytes()
    finally:
        pool.close()
        first.close()
        thread.close()


def resident_bytes() -> tuple[int, int]:
    """What this process has in memory, and what of that are files' pages, which the system can take back."""
    pages = Path("/proc/self/statm").read_text().split()
    return int(pages[1]) * 4096, int(pages[2]) * 4096


def allocated_bytes() -> int:
    """What torch has allocated on GPUs, 0 without one."""
    import torch  # noqa: PLC0415

    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0


def _decode(engine: LiveEngine) -> None:
    import numpy as np  # noqa: PLC0415

    recording = engine.open(np.zeros(16_000, np.float32))
    try:
        engine.submit(Window(recording, 0, recording.frames), WindowOptions(language="en")).result()
    finally:
        recording.close()


def _random(size: str, folder: Path) -> Path:
    path = folder / f"{size}.pt"
    write(path, SIZES[size], tokens=20)
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("size", nargs="?", default="base", help="dimensions of random weights")
    parser.add_argument("--weights", type=Path, help="a checkpoint in place of random weights")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="exact")
    return parser


def _stay() -> None:
    """Nobody waits for the program."""


if __name__ == "__main__":
    raise SystemExit(main())
