"""The pages of mapped files of weights, which would count beside what is made of them."""

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from app import memory

KEPT_BYTES = 128 * 1024 * 1024
"""After so much has been given out, all pages are let go: to find them takes some milliseconds."""


class MappedPages:
    """Watches what is given out of mapped files, and lets go of what has been read.

    A tensor that was given out stays valid: its pages are read again when it is.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._files = [file.resolve() for file in files]
        self._bytes = 0

    def given_out(self, tensor: Tensor) -> Tensor:
        """The same tensor, a view of one of the files."""
        self._bytes += tensor.nbytes
        if self._bytes > KEPT_BYTES:
            self._bytes = tensor.nbytes
            for file in self._files:
                memory.drop_file_pages(file)
        return tensor
