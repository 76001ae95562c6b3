"""The texts of environment variables -> values."""

import re
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from app.errors import StartError

_KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What can be sent after `Bearer` (RFC 6750)."""

_LEAST_SECRET = 32
"""Characters: who has something that a secret has signed can try out shorter ones, without asking anybody."""

_SWITCH = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)


def parse_value(name: str, text: str, kind: type) -> Any:
    """A variable's text as a value of a kind. Raises StartError naming the variable."""
    try:
        if kind is bool:
            return _SWITCH[text.lower()]
        if kind is tuple:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return kind(text)
    except (KeyError, ValueError):
        expected = {bool: "1 or 0", int: "a whole number", float: "a number"}[kind]
        raise StartError(f"{name} is {text!r}; it must be {expected}.") from None


def listed_value(name: str, text: str) -> tuple[str, ...]:
    """A list's entries, or a file's. None at all is never meant: without keys the server would be open."""
    entries = (
        lines_of(name, Path(text[1:]).expanduser())
        if text.startswith("@")
        else parse_value(name, text, tuple)
    )
    if not entries:
        raise StartError(f"{name} is {text!r}, and there is no entry in it.")
    return tuple(entries)


def single_value(name: str, text: str) -> str:
    """A text, or the only entry of a file."""
    entries = lines_of(name, Path(text[1:]).expanduser()) if text.startswith("@") else (text,)
    if len(entries) != 1:
        raise StartError(f"{name} is {text!r}, and there are {len(entries)} lines in it; there must be one.")
    return entries[0]


def lines_of(name: str, path: Path) -> tuple[str, ...]:
    """The entries of a variable's file, one on each line; none of blank lines and of those with a `#`."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors on Windows write a BOM
    except OSError as error:
        raise StartError(f"{name} is '@{path}', and that file can't be read ({error.strerror}).") from error
    except UnicodeDecodeError:
        raise StartError(f"{name} is '@{path}', and that file is not text in UTF-8.") from None
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def is_network(text: str) -> bool:
    """Whether it is an address, or a network whose host bits are zero."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def check_keys(name: str, keys: Iterable[str]) -> None:
    """Raise StartError for the first key that no client could send; it is not shown."""
    for number, key in enumerate(keys, start=1):
        if not _KEY.fullmatch(key):
            raise StartError(
                f"Key {number} of {name} has a character that can't be sent; "
                "keys are made of letters, digits and -._~+/ with any = at the end."
            )


def check_secret(name: str, secret: str) -> None:
    """Raise StartError for a secret that could be guessed; it is not shown."""
    if 0 < len(secret) < _LEAST_SECRET:
        raise StartError(
            f"{name} has {len(secret)} characters; it must have at least {_LEAST_SECRET}, drawn at random: "
            "`openssl rand -hex 32` makes one."
        )
