"""A field of Settings."""

from dataclasses import field
from typing import Any


def setting(variable: str, default: Any, meaning: str, *, secret: bool = False) -> Any:
    """A field, its environment variable, and what docs/settings.md says about it. `repr` hides a secret."""
    return field(default=default, repr=not secret, metadata={"variable": variable, "meaning": meaning})
