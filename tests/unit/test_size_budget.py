"""Small functions, short files: the style budget, counted from the syntax tree."""

import ast
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [*sorted((ROOT / "app").rglob("*.py")), ROOT / "gunicorn.conf.py", ROOT / "wsgi.py"]

LONGEST_FUNCTION = 60
NINE_IN_TEN = 30
TYPICAL = 10
LONGEST_VIEW = 25
LONGEST_FILE = 300

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source: str) -> list[Function]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, Function)]


def lines(function: Function) -> int:
    """From `def` to the last line, docstring included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def is_view(function: Function) -> bool:
    """Whether a decorator makes it a route: `@blueprint.get(...)` and the like."""
    calls = [mark.func for mark in function.decorator_list if isinstance(mark, ast.Call)]
    return any(isinstance(call, ast.Attribute) and call.attr in ("get", "post", "route") for call in calls)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file(path: Path) -> None:
    source = path.read_text()
    assert source.count("\n") <= LONGEST_FILE
    found = functions(source)
    assert [function.name for function in found if lines(function) > LONGEST_FUNCTION] == []
    assert [function.name for function in found if is_view(function) and lines(function) > LONGEST_VIEW] == []


def test_most_functions_are_small() -> None:
    lengths = [lines(function) for path in FILES for function in functions(path.read_text())]
    assert median(lengths) <= TYPICAL
    assert quantiles(lengths, n=10)[-1] <= NINE_IN_TEN


def test_counting() -> None:
    source = (
        "@blueprint.post('/x')\ndef f():\n    'Doc.'\n\n    return (\n        1\n    )\n\ndef g(): pass\n"
    )
    assert [(function.name, lines(function), is_view(function)) for function in functions(source)] == [
        ("f", 6, True),
        ("g", 1, False),
    ]
