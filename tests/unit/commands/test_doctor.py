"""How rows are drawn, and what a bad setting leaves to be looked at."""

import sys

import pytest

from app.__main__ import main
from app.commands import doctor
from app.commands.row import Row, bad, good, warn


def test_a_bad_setting_is_a_row_and_ends_the_visit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "http")
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["python", "packages", "settings"]
    assert lines[2] == "FAIL  settings        PORT is 'http'; it must be a whole number."
    assert lines[3:] == ["1 failed."]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (good("python", "3.11"), "OK    python          3.11"),
        (warn("a", "b", "c"), "WARN  a               b\n                      -> c"),
        (bad("a", "b"), "FAIL  a               b"),
    ],
)
def test_drawn_plainly(row: Row, text: str) -> None:
    assert doctor.drawn(row, in_colour=False) == text


def visit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *rows: Row) -> tuple[int, str]:
    monkeypatch.setattr(doctor, "rows", lambda nginx_file: iter(rows))
    return doctor.run(None), capsys.readouterr().out


def test_colours_are_for_terminals_that_want_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = good("python", "3.11")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\033" not in visit(monkeypatch, capsys, row)[1]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert visit(monkeypatch, capsys, row)[1].startswith("\033[32mOK   \033[0m python")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in visit(monkeypatch, capsys, row)[1]


@pytest.mark.parametrize(
    ("rows", "status", "last"),
    [
        ([good("a", ""), warn("b", "")], 0, "Nothing failed."),
        ([bad("a", ""), good("b", ""), bad("c", "")], 1, "2 failed."),
    ],
)
def test_the_exit_status(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rows: list[Row],
    status: int,
    last: str,
) -> None:
    found, text = visit(monkeypatch, capsys, *rows)
    assert found == status
    assert text.splitlines()[-1] == last
