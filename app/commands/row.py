"""One line of what the doctor found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True)
class Row:
    """What was looked at, how it is, what was found, and what to do unless it is good."""

    name: str
    state: State
    found: str
    advice: str = ""


def good(name: str, found: str) -> Row:
    """Nothing to do."""
    return Row(name, "OK", found)


def warn(name: str, found: str, advice: str = "") -> Row:
    """The server works, but not as well as it could, or this could not be looked at."""
    return Row(name, "WARN", found, advice)


def bad(name: str, found: str, advice: str = "") -> Row:
    """The server, or a part of it, does not work like this."""
    return Row(name, "FAIL", found, advice)
