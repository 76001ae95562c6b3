"""Small functions, short files: the style budget, counted from the syntax tree."""

import ast
import inspect
from pathlib import Path
from statistics import median, quantiles

import pytest
from flask import Flask

from tests.syntax_trees import nodes_of

ROOT = Path(__file__).resolve().parents[2]
FILES = [*sorted((ROOT / "app").rglob("*.py")), ROOT / "gunicorn.conf.py", ROOT / "wsgi.py"]

LONGEST_FUNCTION = 60
NINE_IN_TEN = 30
TYPICAL = 10
LONGEST_VIEW = 25
LONGEST_FILE = 300

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source: str) -> list[Function]:
    return [node for node in nodes_of(source) if isinstance(node, Function)]


def lines(function: Function) -> int:
    """From `def` to the last line, docstring included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def is_route(call: ast.expr) -> bool:
    """Whether an expression is `blueprint.get(...)` or the like, which makes a function a view."""
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("get", "post", "delete", "route")
    )


def views(source: str) -> set[str]:
    """The functions that a file makes views: `@blueprint.get(...)` or `blueprint.post(...)(view)`."""
    marked = {function.name for function in functions(source) if any(map(is_route, function.decorator_list))}
    calls = [node for node in nodes_of(source) if isinstance(node, ast.Call) and is_route(node.func)]
    return marked | {view.id for call in calls for view in call.args if isinstance(view, ast.Name)}


VIEWS = set().union(*(views(path.read_text()) for path in FILES))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file(path: Path) -> None:
    source = path.read_text()
    assert source.count("\n") <= LONGEST_FILE
    found = functions(source)
    assert [function.name for function in found if lines(function) > LONGEST_FUNCTION] == []
    assert [
        function.name for function in found if function.name in VIEWS and lines(function) > LONGEST_VIEW
    ] == []


def test_every_view_is_known(app: Flask) -> None:
    served = {inspect.unwrap(view).__name__ for view in app.view_functions.values()}
    assert served - VIEWS == set()


def test_most_functions_are_small() -> None:
    lengths = [lines(function) for path in FILES for function in functions(path.read_text())]
    assert median(lengths) <= TYPICAL
    assert quantiles(lengths, n=10)[-1] <= NINE_IN_TEN


def test_counting() -> None:
    source = (
        "@blueprint.post('/x')\ndef f():\n    'Doc.'\n\n    return (\n        1\n    )\n\ndef g(): pass\n"
        "def h(): pass\nblueprint.get('/y')(h)\ndef i(): values.get(h)\n"
    )
    assert [(function.name, lines(function)) for function in functions(source)] == [
        ("f", 6),
        ("g", 1),
        ("h", 1),
        ("i", 1),
    ]
    assert views(source) == {"f", "h"}
