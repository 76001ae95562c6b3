"""Syntax trees of source texts, for tests that read the code."""

import ast
from functools import cache


@cache
def nodes_of(source: str) -> list[ast.AST]:
    """All nodes, the outer ones first. Parsed once, however many tests ask."""
    return list(ast.walk(ast.parse(source)))
