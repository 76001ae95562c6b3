"""CTranslate2's model.bin: what it holds, and where.

A number of the format, the kind of model, its revision; then each variable's name, shape, type and bytes;
then other names of variables. Numbers are little-endian; a text's length counts a NUL at its end. Whatever a
file says is checked against its end before it is used.
"""

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

from app.errors import CheckpointError

FLOATS = ("float32", "float16", "bfloat16")

_FORMAT = 6
_TYPES = {0: "float32", 1: "int8", 2: "int16", 3: "int32", 4: "float16", 5: "bfloat16"}
_BYTES = {"float32": 4, "int8": 1, "int16": 2, "int32": 4, "float16": 2, "bfloat16": 2}
_INTEGERS = {"int8": "b", "int16": "h", "int32": "i"}
_MAX_VARIABLES = 100_000
_MAX_DIMENSIONS = 4


@dataclass(frozen=True)
class Variable:
    """Numbers of one type, row after row, from a byte of the file on. They need not be aligned."""

    type: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """How many bytes."""
        return prod(self.shape) * _BYTES[self.type]

    def rows(self, part: int, parts: int) -> "Variable":
        """One of so many equal parts of the rows; the whole where they can't be divided."""
        if parts == 1 or not self.shape or self.shape[0] % parts:
            return self
        shape = (self.shape[0] // parts, *self.shape[1:])
        return Variable(self.type, shape, self.offset + part * self.size // parts)


class Contents:
    """The variables of an open file, by name."""

    def __init__(
        self, path: Path, data: mmap.mmap, specification: str, variables: dict[str, Variable]
    ) -> None:
        self.path = path
        self.specification = specification
        self._data = data
        self._variables = variables

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def get(self, name: str) -> Variable | None:
        """A variable; None where there is none of this name."""
        return self._variables.get(name)

    def rows(self, name: str, part: int, parts: int) -> Variable | None:
        """A part of a variable's rows."""
        variable = self.get(name)
        return variable.rows(part, parts) if variable else None

    def shape(self, name: str) -> tuple[int, ...]:
        """A variable's shape, empty where there is none."""
        variable = self.get(name)
        return variable.shape if variable else ()

    def number(self, name: str, default: int) -> int:
        """A variable that is a single whole number."""
        variable = self.get(name)
        if variable is None or variable.shape or variable.type not in _INTEGERS:
            return default
        number: int = struct.unpack(f"<{_INTEGERS[variable.type]}", self.bytes_of(variable))[0]
        return number

    def bytes_of(self, variable: Variable) -> bytes:
        """What a variable's numbers are written as."""
        return self._data[variable.offset : variable.offset + variable.size]

    def are_equal(self, one: Variable, other: Variable) -> bool:
        """Whether two variables are the same numbers, written in the same way."""
        if one == other:
            return True
        same = (one.type, one.shape) == (other.type, other.shape)
        return same and self.bytes_of(one) == self.bytes_of(other)


@contextmanager
def read_contents(path: Path) -> Iterator[Contents]:
    """What a model.bin holds; open as long as the context is. Raises CheckpointError."""
    with mapped(path) as data:
        reader = _Reader(path, data)
        yield Contents(path, data, reader.specification(), reader.variables())


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """A file's bytes without reading them. Raises CheckpointError."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
    except OSError as error:
        raise CheckpointError(
            f"{path} can't be read ({error.strerror}); make it readable for the server's user."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path} is empty; copy it anew.") from error


class _Reader:
    """Reads a file from its beginning."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._offset = 0

    def specification(self) -> str:
        """The kind of model; the revision is left out."""
        number = self._number("I")
        if number != _FORMAT:
            raise CheckpointError(
                f"{self._path} is no model.bin of CTranslate2 in its format {_FORMAT} (its first bytes are "
                f"{self._data[:4].hex()}); bring a model that CTranslate2 4 has converted."
            )
        name = self._text()
        self._number("I")
        return name

    def variables(self) -> dict[str, Variable]:
        """All variables, those with another name too."""
        variables = dict(self._variable() for _ in range(self._count()))
        for _ in range(self._count()):
            alias, name = self._text(), self._text()
            if name not in variables:
                raise self._damaged(f"{alias} is another name of {name}, which it lacks")
            variables[alias] = variables[name]
            if (scale := variables.get(f"{name}_scale")) and f"{alias}_scale" not in variables:
                variables[f"{alias}_scale"] = scale
        return variables

    def _variable(self) -> tuple[str, Variable]:
        name = self._text()
        dimensions = self._number("B")
        if dimensions > _MAX_DIMENSIONS:
            raise self._damaged(f"{name} has {dimensions} dimensions")
        shape = tuple(self._number("I") for _ in range(dimensions))
        kind, size = self._number("B"), self._number("I")
        if kind not in _TYPES:
            raise self._damaged(f"{name} is of the unknown type {kind}")
        variable = Variable(_TYPES[kind], shape, self._offset)
        if variable.size != size:
            raise self._damaged(f"{name} has {size} bytes instead of {variable.size}")
        self._take(size)
        return name, variable

    def _count(self) -> int:
        count = self._number("I")
        if count > _MAX_VARIABLES:
            raise self._damaged(f"it claims to hold {count} variables")
        return count

    def _number(self, kind: str) -> int:
        size = struct.calcsize(f"<{kind}")
        begin = self._take(size)
        number: int = struct.unpack_from(f"<{kind}", self._data, begin)[0]
        return number

    def _text(self) -> str:
        length = self._number("H")
        begin = self._take(length)
        text = self._data[begin : self._offset].rstrip(b"\0").decode(errors="replace")
        if not text.isprintable() or "\ufffd" in text:
            raise self._damaged("a name in it is no text")
        return text

    def _take(self, size: int) -> int:
        """Where the next bytes begin; they are behind us then."""
        begin, end = self._offset, self._offset + size
        if end > len(self._data):
            raise self._damaged(f"it ends after {len(self._data)} bytes, in the middle of something")
        self._offset = end
        return begin

    def _damaged(self, problem: str) -> CheckpointError:
        return CheckpointError(f"{self._path} is cut off or damaged: {problem}; copy it anew.")
