"""Checkpoints whose contents have been checked, remembered for as long as their files stay what they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from app.checkpoints.checkpoint import Checkpoint
from app.errors import CheckpointError

Stamp = tuple[tuple[str, int, int, int], ...]
"""Name, inode, bytes and time of writing (ns) of each file."""


@dataclass(frozen=True)
class Verified:
    """A checkpoint, and what its files were when it was checked."""

    checkpoint: Checkpoint
    stamp: Stamp

    @property
    def file_bytes(self) -> int:
        """What its files take on the disk."""
        return sum(size for _, _, size, _ in self.stamp)

    @property
    def written_at(self) -> int:
        """When its latest file was written, in Unix seconds."""
        return max(time_ns for *_, time_ns in self.stamp) // 1_000_000_000

    @property
    def unchanged(self) -> bool:
        """Whether its files are still the same."""
        try:
            return stamp_of(self.checkpoint.path) == self.stamp
        except CheckpointError:
            return False


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file, or of the files in a folder. Raises CheckpointError if they can't be looked at."""
    try:
        files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
        found = [(file.name, file.stat()) for file in files]
    except OSError as error:
        raise CheckpointError(f"The model at {path} can't be read ({error.strerror}).") from error
    return tuple((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found)


@dataclass(frozen=True)
class VerifiedCheckpoints:
    """Checks a checkpoint with `resolve(source)`, and again only when a file of it has been replaced.

    `known` are those that were checked before, by source. Any thread may ask.
    """

    resolve: Callable[[str], Checkpoint]
    known: Mapping[str, Verified] = field(default_factory=dict)
    _found: dict[str, Verified] = field(default_factory=dict, init=False)
    _locks: dict[str, Lock] = field(default_factory=dict, init=False, repr=False, compare=False)

    def get(self, source: str) -> Verified:
        """The checkpoint that a name or a path means. Raises CheckpointError."""
        found = self.remembered(source)
        if found and found.unchanged:
            return found
        with self._locks.setdefault(source, Lock()):  # so that nobody reads the same gigabytes a second time
            found = self.remembered(source)
            if not (found and found.unchanged):
                checkpoint = self.resolve(source)
                found = self._found[source] = Verified(checkpoint, stamp_of(checkpoint.path))
            return found

    def remembered(self, source: str) -> Verified | None:
        """The last one that was checked, without a look at its files."""
        return self._found.get(source) or self.known.get(source)
