"""Deflate a checkpoint: `python -m training.pack checkpoint.pt packed.pt`. `torch.load` reads it as it is."""

import argparse
import zipfile
from collections.abc import Sequence
from pathlib import Path


def pack(source: Path, target: Path) -> None:
    """Write the archive `source`, which `torch.save` leaves uncompressed, as a deflated one."""
    with (
        zipfile.ZipFile(source) as stored,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as deflated,
    ):
        for entry in stored.infolist():
            deflated.writestr(entry.filename, stored.read(entry))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.pack", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args(argv)
    pack(arguments.source, arguments.target)
    print(f"{arguments.source.stat().st_size} -> {arguments.target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
