"""All that must be right before a port is bound, looked at in a process of its own.

The master forks workers, so it must never hold torch. `python -m app.preflight` does the looking,
draws the progress bar of a download, and leaves one line of JSON; `run()` is the master's side.
"""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from app.checkpoints import Checkpoint, resolve
from app.engines import ENGINES, devices
from app.errors import StartError, listed
from app.settings import Settings


@dataclass(frozen=True)
class Preflight:
    """The checkpoint to load, and the device of each worker."""

    checkpoint: Checkpoint
    devices: tuple[str, ...]

    def to_json(self) -> str:
        """One line that `from_json` reads."""
        checkpoint = asdict(self.checkpoint) | {"path": str(self.checkpoint.path)}
        return json.dumps({"checkpoint": checkpoint, "devices": self.devices})

    @classmethod
    def from_json(cls, line: str | bytes) -> "Preflight":
        """What `to_json` wrote."""
        found = json.loads(line)
        checkpoint = found["checkpoint"]
        return cls(Checkpoint(**checkpoint | {"path": Path(checkpoint["path"])}), tuple(found["devices"]))


def run() -> Preflight:
    """Look in a child process. Exits with the child's status, after its message on stderr, if it fails."""
    with subprocess.Popen([sys.executable, "-m", "app.preflight"], stdout=subprocess.PIPE) as child:
        try:
            line, _ = child.communicate()
        except BaseException:
            child.terminate()
            raise
    if child.returncode:
        sys.exit(child.returncode)
    return Preflight.from_json(line)


def look(settings: Settings) -> Preflight:
    """Check engine, devices and checkpoint, the quick ones first. Raises StartError."""
    if settings.engine not in ENGINES:
        raise StartError(f"WHISPER_ENGINE is {settings.engine!r}; it must be one of {listed(ENGINES)}.")
    found = devices.choose(settings.devices)
    return Preflight(resolve(settings), found)


def main() -> None:
    """Print what was found, or one message that says what to do."""
    # An exit instead of sudden death, so that what came of a download is kept for the next start.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        print(look(Settings.from_environ()).to_json())
    except StartError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit(1)


if __name__ == "__main__":
    main()
