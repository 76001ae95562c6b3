"""Loops that are compiled for this machine's processor, by the first process that needs them.

The machine code is kept beside Python's own, in `__pycache__`: without it every start would compile for
seconds. numba compiles anew when the source or the processor is another one.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar, cast

import numba

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


def compiled(*, fastmath: bool | set[str] = False) -> Callable[[FunctionT], FunctionT]:
    """A decorator for functions of this folder: compiled on their first call, run without the GIL."""

    def decorate(function: FunctionT) -> FunctionT:
        decorator = numba.njit(nogil=True, fastmath=fastmath, cache=_can_be_kept())
        return cast(FunctionT, decorator(function))

    return decorate


def _can_be_kept() -> bool:
    """Whether this process may write beside the source: numba would else write below HOME."""
    folder = Path(__file__).parent / "__pycache__"
    try:
        folder.mkdir(exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
