"""onnxruntime reports to its maker unless it is told not to before it is imported: no import escapes that."""

import ast
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SILENT = ("app", "benchmarks")
"""Packages that switch it off before any module of theirs is imported."""

BRINGERS = {"onnxruntime", "silero_vad", "piper", "faster_whisper"}
"""Whatever imports onnxruntime; the last is for benchmarks alone, and not always installed."""

FILES = [
    path
    for folder in ("app", "benchmarks", "training", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "node_modules" not in path.parts
] + [ROOT / "gunicorn.conf.py", ROOT / "wsgi.py"]


def imported(node: ast.AST) -> set[str]:
    """The top-level packages that a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]}
    return set()


def escapes(source: str, package: str) -> bool:
    """Whether a file imports what brings onnxruntime without one of SILENT, at the top level, before it."""
    tree = ast.parse(source)
    brought = [node.lineno for node in ast.walk(tree) if imported(node) & BRINGERS]
    silenced = [node.lineno for node in tree.body if imported(node) & set(SILENT)]
    late = not silenced or any(line < min(silenced) for line in brought)
    return bool(brought) and package not in SILENT and late


@pytest.mark.slow
def test_no_import_escapes() -> None:
    names = [
        str(path.relative_to(ROOT))
        for path in FILES
        if escapes(path.read_text(), path.relative_to(ROOT).parts[0])
    ]
    assert names == []


@pytest.mark.parametrize(
    ("source", "package", "escaped"),
    [
        ("import onnxruntime", "training", True),
        ("def f():\n    from silero_vad import load_silero_vad", "training", True),
        ("import piper.voice\nimport app", "tests", True),
        ("from app.waveform import voice_activity\ndef f():\n    import silero_vad", "tests", False),
        ("import onnxruntime", "app", False),
        ("import numpy", "training", False),
    ],
)
def test_the_test_sees_escapes(source: str, package: str, escaped: bool) -> None:
    assert escapes(source, package) is escaped


def test_all_that_brings_it_is_known() -> None:
    """No matter under which extra a distribution asks for it."""
    found = {
        canonicalize_name(entry.metadata["Name"])
        for entry in distributions()
        for text in entry.requires or []
        if canonicalize_name(Requirement(text).name) == "onnxruntime"
    }
    assert {"silero-vad", "piper-tts"} <= found <= {"silero-vad", "piper-tts", "faster-whisper"}


@pytest.mark.parametrize("package", SILENT)
def test_a_package_switches_it_off_when_it_is_imported(package: str) -> None:
    look = (
        f"import os, sys, {package}; print('onnxruntime' in sys.modules, os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", look],
        check=True,
        cwd=ROOT,
        env={"ORT_DISABLE_TELEMETRY": "0"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False 1\n"
