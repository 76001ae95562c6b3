"""Compiled code is kept beside the source, or nowhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[4] / "app" / "engines" / "batched" / "compiled.py"
MODULE = """
from compiled import compiled

@compiled()
def doubled(number):
    return 2 * number
"""
PROGRAM = (
    "import module; assert module.doubled(21) == 42; print(sum(module.doubled.stats.cache_hits.values()))"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    code = tmp_path / "code"
    code.mkdir()
    (code / "compiled.py").write_bytes(SOURCE.read_bytes())
    (code / "module.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "home").mkdir()
    return code


def cache_hits(folder: Path) -> int:
    """How much a process that calls the function need not compile."""
    home = folder.parent / "home"
    environment = os.environ | {"HOME": str(home)}
    environment.pop("NUMBA_CACHE_DIR", None)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, env=environment, check=True, capture_output=True
    )
    assert not list(home.iterdir())
    return int(run.stdout)


def kept(folder: Path) -> list[Path]:
    return list(folder.rglob("*.nbc"))


def test_the_second_process_does_not_compile(folder: Path) -> None:
    assert cache_hits(folder) == 0
    assert kept(folder)
    assert cache_hits(folder) == 1


def test_a_new_source_is_compiled_anew(folder: Path) -> None:
    assert cache_hits(folder) == 0
    module = folder / "module.py"
    module.write_text(MODULE.replace("2 * number", "number + number"), encoding="utf-8")
    assert cache_hits(folder) == 0


def test_where_nothing_can_be_written_nothing_is_kept(folder: Path) -> None:
    (folder / "__pycache__").write_bytes(b"")  # a file: root may write into any folder
    assert cache_hits(folder) == cache_hits(folder) == 0
    assert not kept(folder)
