"""`python -m benchmarks`."""

import importlib.util

import pytest

from benchmarks.__main__ import PROGRAMS, main


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_lists_the_programs(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(arguments)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == list(PROGRAMS)


def test_every_program_is_a_module() -> None:
    assert all(importlib.util.find_spec(f"benchmarks.{name}") for name in PROGRAMS)


def test_runs_the_program_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["request_cost", "--help"])
    assert caught.value.code == 0
    assert "--rounds" in capsys.readouterr().out


def test_an_unknown_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["nothing"])
    assert caught.value.code == 2
    assert "There is no program 'nothing'." in capsys.readouterr().err
