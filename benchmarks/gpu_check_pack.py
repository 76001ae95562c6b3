"""Fill a folder with the wheels that `gpu_check` needs beside torch, pinned as in requirements.txt.

Run it where there is a package index, for a machine where there is none.
"""

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu_check import WHEELS

ROOT = Path(__file__).resolve().parents[1]

PACKAGES = {
    "openai-whisper": "whisper",
    "more-itertools": "more_itertools",
    "tqdm": "tqdm",
    "tiktoken": "tiktoken",
    "regex": "regex",
    "requests": "requests",
    "urllib3": "urllib3",
    "idna": "idna",
    "certifi": "certifi",
    "charset-normalizer": "charset_normalizer",
    "numba": "numba",
    "llvmlite": "llvmlite",
    "numpy": "numpy",
}
"""All that is imported but torch and what torch brings along -> its name when it is imported."""

FROM_SOURCE = {"openai-whisper"}
"""Published as source alone: its wheel is built here, of Python code only."""

GLIBC = (17, 27, 28, 34, 35)
"""Minor versions of glibc 2 whose wheels run on a machine of the last years."""


def pins() -> dict[str, str]:
    """`name==version` by name, from requirements.txt."""
    texts = (ROOT / "requirements.txt").read_text().splitlines()
    lines = (line.split("#")[0].split(";")[0].strip() for line in texts)
    return {line.partition("==")[0]: line for line in lines if "==" in line}


def command(package: str, pin: str, folder: Path, python: str) -> list[str]:
    """What pip is told for one package."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if package in FROM_SOURCE:
        return [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), pin]
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in GLIBC]
    target = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *platforms]
    older = ["--platform=manylinux2014_x86_64"]
    return [*pip, "download", "--quiet", "--no-deps", *target, *older, "--dest", str(folder), pin]


def main(arguments: list[str] | None = None) -> None:
    """Download. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="gpu_check_pack", description=__doc__)
    parser.add_argument(
        "packages", nargs="*", default=list(PACKAGES), help="only these, if others are there already"
    )
    parser.add_argument("--python", default="3.12", help="the other machine's Python (3.12)")
    parser.add_argument("--folder", type=Path, default=WHEELS, help="where to (build/gpu-check)")
    parser.add_argument("--lacking", action="store_true", help="only print which packages this Python lacks")
    options = parser.parse_args(arguments)
    if options.lacking:
        print(*(name for name, module in PACKAGES.items() if find_spec(module) is None))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    pinned = pins()
    for package in options.packages:
        for older in options.folder.glob(f"{package.replace('-', '_')}-*.whl"):
            older.unlink()
        subprocess.run(command(package, pinned[package], options.folder, options.python), check=True)
    size = sum(wheel.stat().st_size for wheel in options.folder.glob("*.whl"))
    print(f"{len(options.packages)} wheels, {size / 2**20:.0f} MiB, in {options.folder}")


if __name__ == "__main__":
    main()
