"""The checks before a port is bound, made in a process of their own.

The master forks workers, so it must never import torch. `python -m app.preflight` makes the checks, shows
the progress of a download, and prints one line of JSON; `run()` starts it and reads that line.
"""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.checkpoints import Checkpoint, resolve
from app.checkpoints.verified import Verified
from app.engines import ENGINES, devices
from app.errors import StartError, listed
from app.model_list import more_models, preloaded, verifying
from app.settings import Settings


@dataclass(frozen=True)
class Preflight:
    """The checkpoint to load, and the device of each worker."""

    checkpoint: Checkpoint
    devices: tuple[str, ...]
    more: dict[str, Verified] = field(default_factory=dict)
    """The checkpoints of WHISPER_MODELS, by name or path."""

    def to_json(self) -> str:
        """One line that `from_json` reads."""
        more = {
            source: [_as_json(verified.checkpoint), verified.stamp] for source, verified in self.more.items()
        }
        found = {"checkpoint": _as_json(self.checkpoint), "devices": self.devices, "more": more}
        return json.dumps(found)

    @classmethod
    def from_json(cls, line: str | bytes) -> "Preflight":
        """What `to_json` wrote."""
        found = json.loads(line)
        more = {
            source: Verified(_from_json(checkpoint), tuple(tuple(file) for file in stamp))
            for source, (checkpoint, stamp) in found["more"].items()
        }
        return cls(_from_json(found["checkpoint"]), tuple(found["devices"]), more)


def _as_json(checkpoint: Checkpoint) -> dict[str, object]:
    return asdict(checkpoint) | {"path": str(checkpoint.path)}


def _from_json(found: dict[str, Any]) -> Checkpoint:
    return Checkpoint(**found | {"path": Path(found["path"])})


def run() -> Preflight:
    """Check in a child process. If it fails, exits with its status; its message is on stderr."""
    with subprocess.Popen([sys.executable, "-m", "app.preflight"], stdout=subprocess.PIPE) as child:
        try:
            line, _ = child.communicate()
        except BaseException:
            child.terminate()
            raise
    if child.returncode:
        sys.exit(child.returncode)
    return Preflight.from_json(line)


def check(settings: Settings) -> Preflight:
    """Check engine, devices and checkpoint, the quick ones first. Raises StartError."""
    if settings.engine not in ENGINES:
        raise StartError(f"WHISPER_ENGINE is {settings.engine!r}; it must be one of {listed(ENGINES)}.")
    device_names = devices.resolve_devices(settings.devices)
    models, checkpoints = more_models(settings), verifying(settings)
    preloaded(settings, models)
    first = resolve(settings)
    return Preflight(first, device_names, {each.source: checkpoints.get(each.source) for each in models})


def main() -> None:
    """Print the result, or one message that says what to do."""
    # Exit normally, so that the part of a download that has arrived is kept for the next start.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        print(check(Settings.from_environ()).to_json())
    except StartError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit(1)


if __name__ == "__main__":
    main()
