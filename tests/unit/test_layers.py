"""Imports point down only. Read from the syntax tree, so that a late import inside a function counts too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.syntax_trees import nodes_of

ROOT = Path(__file__).resolve().parents[2]

BASE = {
    "app.environment",
    "app.errors",
    "app.languages",
    "app.realtime_settings",
    "app.request_cost",
    "app.scheduling",
    "app.setting_field",
    "app.setting_values",
    "app.settings",
    "app.transcript",
    "app.version",
}
LAYERS = {
    "app": {"app.api", "app.runtime"},
    "app.api": {
        "app.admission",
        "app.background",
        "app.base64_data",
        "app.bounded_json",
        "app.instance_models",
        "app.loaded_model",
        "app.model_catalogue",
        "app.model_list",
        "app.realtime",
        "app.runtime",
        "app.request_context",
        "app.requests",
        "app.transcription",
        "app.dialogue",
        "app.formats",
        "app.logs",
        "app.metrics",
        "app.waiting",
        "app.waveform",
        "app.synthesis",
    },
    "app.request_context": {"app.waiting"},
    "app.waiting": set(),
    "app.alarm": set(),
    "app.background": set(),
    "app.requests": {"app.engines.interface", "app.formats", "app.transcription"},
    "app.loaded_model": {"app.checkpoints", "app.engines", "app.request_context"},
    "app.model_catalogue": set(),
    "app.model_list": {"app.checkpoints"},
    "app.model_pool": {
        "app.alarm",
        "app.background",
        "app.loaded_model",
        "app.pool_failures",
        "app.pool_room",
        "app.pool_slots",
        "app.pool_waiting",
        "app.shared_work",
        "app.waiting",
    },
    "app.pool_failures": {"app.memory"},
    "app.pool_room": {"app.pool_slots"},
    "app.shared_work": {"app.background"},
    "app.pool_waiting": {"app.pool_slots", "app.waiting"},
    "app.pool_slots": {"app.loaded_model"},
    "app.worker_peers": {"app.background", "app.waiting"},
    "app.instance_models": {"app.waiting", "app.worker_models", "app.worker_peers"},
    "app.worker_models": {
        "app.admission",
        "app.checkpoints",
        "app.engines",
        "app.loaded_model",
        "app.model_catalogue",
        "app.model_list",
        "app.model_pool",
        "app.pool_failures",
        "app.pool_slots",
        "app.waiting",
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
        "app.instance_models",
        "app.loaded_model",
        "app.metrics",
        "app.model_catalogue",
        "app.request_context",
        "app.synthesis",
        "app.transcription",
        "app.waveform",
        "app.worker_models",
    },
    "app.metrics": {"app.metric_series"},
    "app.metric_series": set(),
    "app.logs": set(),
    "app.__main__": {"app.commands", "app.checkpoints"},
    "app.commands": {
        "app.checkpoints",
        "app.confinement",
        "app.engines",
        "app.background",
        "app.formats",
        "app.languages",
        "app.model_list",
        "app.request_context",
        "app.requests",
        "app.runtime",
        "app.transcription",
        "app.waveform",
    },
    "app.commands.server_transcriber": {"app.commands", "app.languages"},
    "app.preflight": {"app.checkpoints", "app.engines", "app.model_list"},
    "app.dialogue": {
        "app.background",
        "app.base64_data",
        "app.bounded_json",
        "app.request_context",
        "app.transcription",
    },
    "app.realtime": {
        "app.background",
        "app.base64_data",
        "app.engines.interface",
        "app.formats",
        "app.held_audio",
        "app.logs",
        "app.request_context",
        "app.requests",
        "app.transcription",
        "app.waveform",
    },
    "app.transcription": {"app.engines.interface", "app.held_audio", "app.request_context", "app.waveform"},
    "app.formats": set(),
    "app.synthesis": {"app.confinement", "app.waveform"},
    "app.engines": {"app.checkpoints", "app.memory", "app.waveform"},
    "app.waveform": {"app.confinement", "app.waiting"},
    "app.confinement": set(),
    "app.checkpoints": set(),
    "app.checkpoints.download": set(),
    "app.memory": set(),
    "app.server": {
        "app.admission",
        "app.api",
        "app.confinement",
        "app.logs",
        "app.memory",
        "app.metrics",
        "app.preflight",
        "app.realtime",
        "app.runtime",
        "app.worker_peers",
    },
    "gunicorn.conf": {"app.admission", "app.server"},
    "wsgi": {"app"},
    **{name: set() for name in BASE},
}
"""A module or folder -> what it may import besides itself and BASE; `app` is `app/__init__.py` alone."""

CONFINED = {
    "torch": ["app.engines"],
    "whisper": ["app.engines"],
    "numba": ["app.engines"],
    "tiktoken": ["app.engines"],
    "safetensors": ["app.checkpoints"],
    "av": ["app.waveform"],
    "silero_vad": ["app.waveform"],
    "onnxruntime": ["app.waveform"],
    "flask": ["app", "app.api"],
    "werkzeug": ["app.api"],
    "jsonschema": ["app.api"],
    "referencing": ["app.api"],
    "requests": ["app.dialogue", "app.checkpoints.download", "app.commands.server_transcriber"],
    "urllib3": ["app.dialogue", "app.checkpoints.download"],
    "prometheus_client": ["app.metric_series", "app.metrics"],
    "gunicorn": ["app.server"],
    "websockets": ["app.realtime"],
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
    "ipaddress",
    "re",
    "pathlib",
    "threading",
    "__future__",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = [*sorted((ROOT / "app").rglob("*.py")), ROOT / "gunicorn.conf.py", ROOT / "wsgi.py"]
MODULES = {module_name(path): path for path in FILES}


def inside(module: str, layer: str) -> bool:
    """Whether a layer holds a module; the layer `app` is `app/__init__.py` alone."""
    return module == layer or (layer != "app" and module.startswith(f"{layer}."))


def layer_of(module: str) -> str:
    """The longest row of LAYERS that holds a module; only app/__init__.py itself is in `app`."""
    rows = [layer for layer in LAYERS if inside(module, layer)]
    assert rows, f"{module} belongs to no layer"
    return max(rows, key=len)


def imports(source: str) -> Iterator[str]:
    """Every module that a source text imports; `from app import api` imports app.api."""
    for node in nodes_of(source):
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
    if name.partition(".")[0] == "app":
        return name in BASE or any(inside(name, held) for held in (layer, *LAYERS[layer]))
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
        ("app.requests.parse", "from flask import request\nimport jsonschema", ["flask", "jsonschema"]),
        ("app.requests.parse", "from app.api.form_values import Fields", ["app.api.form_values"]),
        ("app.transcription.window_loop", "from app.requests.parse import parse", ["app.requests.parse"]),
        ("app.transcription.transcriber", "from app.runtime import Runtime", ["app.runtime"]),
        (
            "app.request_context",
            "from app.transcription.request import Policy",
            ["app.transcription.request"],
        ),
        ("app.errors", "import numpy as np", ["numpy"]),
        ("app.api.bodies", "import av.error", ["av.error"]),
        ("app.api.bodies", "import werkzeug\nfrom app.runtime import Runtime", []),
        ("app.api.bodies", "from gunicorn import util", ["gunicorn"]),
        ("app.api.bodies", "from app.server.worker import SpeechWorker", ["app.server.worker"]),
        ("app.runtime", "from app import api, create_app", ["app.api"]),
        ("app.server.worker", "from gunicorn import http\nfrom app.api.error_body import whole_answer", []),
        ("app.server.worker", "import torch\nfrom app import create_app", ["torch", "app"]),
        ("gunicorn.conf", "from app.runtime import Runtime", ["app.runtime"]),
        ("gunicorn.conf", "from gunicorn.arbiter import Arbiter", ["gunicorn.arbiter"]),
        ("wsgi", "from app import create_app", []),
        ("wsgi", "from app.api import register", ["app.api"]),
    ],
)
def test_the_test_sees_violations(module: str, source: str, found: list[str]) -> None:
    assert violations(module, source) == found


def test_only_settings_reads_the_environment() -> None:
    """Besides what a child process is told."""
    readers = [module for module, path in MODULES.items() if reads_environ(path.read_text())]
    assert readers == ["app.environment", "app.settings"]


def test_the_environment_is_set_for_libraries_alone() -> None:
    """prometheus_client and onnxruntime are told nothing in another way."""
    found = {module: list(set_in_environ(path.read_text())) for module, path in MODULES.items()}
    assert {module: names for module, names in found.items() if names} == {
        "app.server.hooks": ["PROMETHEUS_MULTIPROC_DIR"],
        "app.environment": ["ORT_DISABLE_TELEMETRY"],
    }


def is_environ(node: ast.AST) -> bool:
    """Whether it is os.environ or os.getenv; Flask's request.environ is something else."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    )


def settings_of(source: str) -> list[ast.Subscript]:
    """Each `os.environ[...]` that is given a value."""
    return [
        node
        for node in nodes_of(source)
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and is_environ(node.value)
    ]


def set_in_environ(source: str) -> Iterator[str]:
    for node in settings_of(source):
        yield ast.literal_eval(node.slice)


def reads_environ(source: str) -> bool:
    uses = sum(map(is_environ, nodes_of(source)))
    return uses > len(settings_of(source)) or "os" in map(module_of, nodes_of(source))


def module_of(node: ast.AST) -> str | None:
    """Whence something is imported by name, which hides that it is the environment."""
    if isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & {"environ", "getenv"}:
        return node.module
    return None


@pytest.mark.parametrize(
    ("source", "reads", "sets"),
    [
        ("import os\nx = os.environ['A']", True, []),
        ("import os\nx = os.getenv('A')", True, []),
        ("import os\nx = dict(os.environ)", True, []),
        ("from os import environ", True, []),
        ("import os\nos.environ['A'] = 'b'", False, ["A"]),
        ("import os\nos.environ['A'] = os.environ['B']", True, ["A"]),
        ("request.environ['A']", False, []),
    ],
)
def test_the_test_sees_the_environment(source: str, reads: bool, sets: list[str]) -> None:
    assert (reads_environ(source), list(set_in_environ(source))) == (reads, sets)


def test_nothing_is_cached_under_a_lock_that_all_requests_share() -> None:
    """Before Python 3.12 functools.cached_property holds one for all instances while it works."""
    assert [module for module, path in MODULES.items() if uses_cached_property(path.read_text())] == []


def uses_cached_property(source: str) -> bool:
    """In any spelling; werkzeug's has no lock."""
    return any(map(names_cached_property, nodes_of(source)))


def names_cached_property(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        names = {alias.name for alias in node.names}
        return node.module == "functools" and bool(names & {"cached_property", "*"})
    if isinstance(node, ast.Attribute):
        return node.attr == "cached_property" and ast.unparse(node.value) != "werkzeug.utils"
    return isinstance(node, ast.Constant) and node.value == "cached_property"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from functools import cached_property", True),
        ("from functools import cached_property as kept", True),
        ("from functools import partial, cached_property", True),
        ("from functools import *", True),
        ("def f():\n    from functools import cached_property", True),
        ("import functools\nclass A:\n    @functools.cached_property\n    def f(self): ...", True),
        ("import functools as tools\nx = tools.cached_property", True),
        ("import functools\nx = getattr(functools, 'cached_property')", True),
        ("from functools import partial, cache", False),
        ("import functools\nx = functools.partial", False),
        ("from werkzeug.utils import cached_property", False),
        ("import werkzeug.utils\nx = werkzeug.utils.cached_property", False),
    ],
)
def test_the_test_sees_cached_properties(source: str, found: bool) -> None:
    assert uses_cached_property(source) is found
