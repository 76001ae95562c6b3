"""`python -m benchmarks` lists the programs, `python -m benchmarks PROGRAM ...` runs one."""

import sys
from importlib import import_module

PROGRAMS = {
    "request_cost": "how the wall time of a request splits into upload, decode, model and answer",
}
"""Module of this package -> what it measures."""


def main(arguments: list[str]) -> None:
    """Run the program that the first argument names, with the others. Exits with 2 for an unknown name."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(listing())
        return
    program, *rest = arguments
    if program not in PROGRAMS:
        print(f"There is no program {program!r}.\n{listing()}", file=sys.stderr)
        sys.exit(2)
    import_module(f"benchmarks.{program}").main(rest)


def listing() -> str:
    """One line for each program."""
    return "\n".join(f"{name:<14} {meaning}" for name, meaning in PROGRAMS.items())


if __name__ == "__main__":
    main(sys.argv[1:])
