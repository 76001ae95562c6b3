"""Is the engine right on this GPU, and how fast: one command for a machine that has a GPU and its own torch.

Needs no server, no network and no audio library. Wheels beside it (`make gpu-check-pack`) are used for
packages that are missing here. Prints a table in Markdown for RESULTS.md, also if a part of it fails.
Ends with 1 where a text isn't openai-whisper's.
"""

import argparse
import importlib.util
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import NamedTuple

WHEELS = Path(__file__).resolve().parents[1] / "build" / "gpu-check"
"""Where `make gpu-check-pack` puts them."""

SECONDS = 300
"""No further measurement begins after so many: with the longest one it is under 8 minutes."""

NO_TIME = "not measured: no time left"


class Row(NamedTuple):
    """A line of the table."""

    measured: str
    found: str
    wrong: bool = False


def missing(wheel: Path) -> bool:
    """Whether this Python lacks one of a wheel's packages."""
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    names = {
        top.removesuffix(".py") for top in tops if not top.endswith((".dist-info", ".data", ".libs", ".so"))
    }
    return any(importlib.util.find_spec(name) is None for name in names)


def use_wheels(wheels: Path, folder: Path) -> list[str]:
    """Unpack what is missing to a folder, and import it from there. Returns names and versions.

    What is here already stays: torch and its neighbours must fit this machine's driver.
    """
    needed = [wheel for wheel in sorted(wheels.glob("*.whl")) if missing(wheel)]
    for wheel in needed:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    sys.path.append(str(folder))
    importlib.invalidate_caches()
    return [" ".join(wheel.name.split("-")[:2]) for wheel in needed]


def rows_of(parts: list[tuple[str, Callable[[], Iterator[Row]]]], until: float) -> Iterator[Row]:
    """All parts' rows. A part that fails is a row that says so, with its traceback on stderr."""
    for name, part in parts:
        if monotonic() > until:
            yield Row(name, NO_TIME)
            continue
        try:
            yield from part()
        except Exception as error:
            traceback.print_exc()
            yield Row(name, f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}", wrong=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__)
    parser.add_argument("--device", default="cuda:0", help="torch device (cuda:0)")
    parser.add_argument("--windows", type=int, nargs="+", default=[1, 8, 64], help="at once (1 8 64)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement (5)")
    parser.add_argument("--tokens", type=int, default=100, help="tokens in a window of random weights (100)")
    parser.add_argument("--tiny", action="store_true", help="tiny weights, to try the program itself")
    parser.add_argument("--wheels", type=Path, default=WHEELS, help="folder of wheels (build/gpu-check)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"begin nothing later ({SECONDS})")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table. `arguments` are the command line's if not given."""
    until = monotonic()
    options = parse(arguments)
    until += options.seconds
    with tempfile.TemporaryDirectory() as folder:
        used = use_wheels(options.wheels, Path(folder))
        from benchmarks import gpu_measures  # noqa: PLC0415 (needs the wheels)

        print("| measured | found |\n| --- | --- |")
        wrong = False
        for row in rows_of(gpu_measures.parts(options, Path(folder), used, until), until):
            print(f"| {row.measured} | {row.found} |", flush=True)
            wrong |= row.wrong
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
