"""One check of `doctor` and its result."""

from dataclasses import dataclass
from typing import Literal

State = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True)
class Row:
    """A check's name, its result, what was found, and what to do if it is not good."""

    name: str
    state: State
    finding: str
    advice: str = ""


def good(name: str, finding: str) -> Row:
    """Nothing to do."""
    return Row(name, "OK", finding)


def warn(name: str, finding: str, advice: str = "") -> Row:
    """The server works, but not as well as it could, or this could not be checked."""
    return Row(name, "WARN", finding, advice)


def bad(name: str, finding: str, advice: str = "") -> Row:
    """The server, or a part of it, does not work."""
    return Row(name, "FAIL", finding, advice)
