"""Programs that speak to the server through clients of their own, and print JSON."""

import json
import subprocess
from collections.abc import Sequence
from errno import ENOENT
from pathlib import Path
from typing import Any

from tests.functional.gunicorn_server import PATIENCE_SECONDS


def json_printed_by(command: Sequence[str | Path], stdin: str = "") -> dict[str, Any]:
    """What a program prints that ends well."""
    finished = subprocess.run(
        command, input=stdin, check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert finished.returncode == 0, finished.stderr
    result: dict[str, Any] = json.loads(finished.stdout)
    return result


def environment_python(folder: Path, package: str) -> Path:
    """The Python of a program's own environment, in the folder beside it.

    Raises FileNotFoundError, which skips a test where it may, if it is not installed.
    """
    if not (folder / ".venv" / ".installed").exists():
        raise FileNotFoundError(ENOENT, "not installed: make test-all or test-real does that", package)
    return folder / ".venv" / "bin" / "python"
