"""`python -m app doctor`: checks this machine and its settings."""

import sys
from collections.abc import Iterator
from pathlib import Path

from app.commands import machine, model, network, nginx
from app.commands.row import Row, bad
from app.errors import StartError
from app.settings import Settings

_COLOURS = {"OK": "\033[32m", "WARN": "\033[33m", "FAIL": "\033[31m"}
_PLAIN = "\033[0m"


def run(nginx_file: Path | None) -> int:
    """Print a row for each check as it is made. Returns 1 if any failed, else 0."""
    failed = 0
    for row in rows(nginx_file):
        failed += row.state == "FAIL"
        print(drawn(row, in_colour=_wants_colour()), flush=True)
    print(f"{failed} failed." if failed else "Nothing failed.")
    return min(failed, 1)


def rows(nginx_file: Path | None) -> Iterator[Row]:
    """All checks, the quick ones first."""
    yield machine.python()
    yield machine.packages()
    try:
        settings = Settings.from_environ()
    except StartError as error:
        yield bad("settings", str(error))
        return
    yield machine.threads(settings)
    yield machine.temp_space(settings)
    yield machine.confinement()
    yield network.proxies()
    yield network.authorities(settings)
    yield from nginx.check(settings, nginx_file)
    yield from model.check(settings)


def drawn(row: Row, *, in_colour: bool) -> str:
    """The row as a line, and its advice on a second one."""
    mark = f"{row.state:<5}"
    line = f"{_COLOURS[row.state] + mark + _PLAIN if in_colour else mark} {row.name:<15} {row.finding}"
    return f"{line}\n{'':<21} -> {row.advice}" if row.advice else line


def _wants_colour() -> bool:
    try:
        return sys.stdout.isatty() and not Settings.from_environ().no_color
    except StartError:
        return False
