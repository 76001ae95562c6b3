"""Imports point down only. Read from the syntax tree, so that a late import inside a function counts too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BASE = {"app.errors", "app.transcript", "app.languages", "app.settings"}
LAYERS = {
    "app": {"app.api", "app.runtime"},
    "app.api": {
        "app.base64_data",
        "app.bounded_json",
        "app.runtime",
        "app.transcription",
        "app.dialogue",
        "app.formats",
        "app.logs",
        "app.metrics",
        "app.waveform",
        "app.synthesis",
    },
    "app.admission": set(),
    "app.held_audio": {"app.waveform"},
    "app.base64_data": set(),
    "app.bounded_json": set(),
    "app.runtime": {
        "app.admission",
        "app.checkpoints",
        "app.confinement",
        "app.engines",
        "app.held_audio",
        "app.metrics",
        "app.synthesis",
        "app.transcription",
        "app.waveform",
    },
    "app.metrics": set(),
    "app.logs": set(),
    "app.__main__": {"app.commands", "app.checkpoints"},
    "app.commands": {
        "app.checkpoints",
        "app.confinement",
        "app.engines",
        "app.runtime",
        "app.transcription",
    },
    "app.preflight": {"app.checkpoints", "app.engines"},
    "app.dialogue": {"app.base64_data", "app.bounded_json", "app.transcription"},
    "app.transcription": {"app.engines.interface", "app.waveform"},
    "app.formats": set(),
    "app.synthesis": {"app.confinement", "app.waveform"},
    "app.engines": {"app.checkpoints", "app.memory", "app.waveform"},
    "app.waveform": {"app.confinement"},
    "app.confinement": set(),
    "app.checkpoints": set(),
    "app.checkpoints.download": set(),
    "app.memory": set(),
    "app.enduring_worker": {"app.api"},
    **{name: set() for name in BASE},
}
"""A module or folder -> what it may import besides itself and BASE."""

CONFINED = {
    "torch": ["app.engines"],
    "whisper": ["app.engines"],
    "numba": ["app.engines"],
    "tiktoken": ["app.engines"],
    "av": ["app.waveform"],
    "silero_vad": ["app.waveform"],
    "onnxruntime": ["app.waveform"],
    "flask": ["app", "app.api"],
    "werkzeug": ["app.api"],
    "jsonschema": ["app.api"],
    "referencing": ["app.api"],
    "requests": ["app.dialogue", "app.checkpoints.download"],
    "urllib3": ["app.dialogue", "app.checkpoints.download"],
    "prometheus_client": ["app.metrics"],
    "gunicorn": ["app.enduring_worker"],
}
"""A third-party package -> the only layers that may import it."""

BASE_MAY_IMPORT = BASE | {
    "os",
    "collections",
    "dataclasses",
    "typing",
    "functools",
    "math",
    "enum",
    "re",
    "pathlib",
    "threading",
    "__future__",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / "app").rglob("*.py"))}


def inside(module: str, layer: str) -> bool:
    return module == layer or module.startswith(f"{layer}.")


def layer_of(module: str) -> str:
    """The longest row of LAYERS that holds a module; only app/__init__.py itself is in `app`."""
    rows = [layer for layer in LAYERS if module == layer or (layer != "app" and inside(module, layer))]
    assert rows, f"{module} belongs to no layer"
    return max(rows, key=len)


def imports(source: str) -> Iterator[str]:
    """Every module that a source text imports; `from app import api` imports app.api."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative import"
            module = node.module or ""
            submodules = [f"{module}.{alias.name}" for alias in node.names]
            yield from [name for name in submodules if name in MODULES] or [module]


def violations(module: str, source: str) -> list[str]:
    layer = layer_of(module)
    return [name for name in imports(source) if not allowed(layer, name)]


def allowed(layer: str, name: str) -> bool:
    if layer in BASE:
        return name in BASE or name.partition(".")[0] in BASE_MAY_IMPORT
    if inside(name, "app"):
        own = layer != "app" and inside(name, layer)
        return own or name in BASE or any(inside(name, below) for below in LAYERS[layer])
    package = name.partition(".")[0]
    return package not in CONFINED or layer in CONFINED[package]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    assert violations(module, MODULES[module].read_text()) == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("app.transcription.words", "import torch", ["torch"]),
        (
            "app.transcription.words",
            "def f():\n    from app.engines.reference import start",
            ["app.engines.reference"],
        ),
        ("app.formats.clock", "from app import api", ["app.api"]),
        ("app.engines.interface", "import app.transcription", ["app.transcription"]),
        ("app.runtime", "from flask import g", ["flask"]),
        ("app.errors", "import numpy as np", ["numpy"]),
        ("app.api.bodies", "import av.error", ["av.error"]),
        ("app.api.bodies", "import werkzeug\nfrom app.runtime import Runtime", []),
    ],
)
def test_the_test_sees_violations(module: str, source: str, found: list[str]) -> None:
    assert violations(module, source) == found


def test_only_settings_reads_the_environment() -> None:
    readers = [module for module, path in MODULES.items() if uses_os_environ(path)]
    assert readers == ["app.settings"]


def uses_os_environ(path: Path) -> bool:
    """Whether a module uses os.environ or os.getenv; Flask's request.environ is something else."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        for node in ast.walk(ast.parse(path.read_text()))
    )
