"""How long a recording says it is."""

from pathlib import Path

import av
from av.error import FFmpegError


def declared_seconds(path: Path) -> float | None:
    """What a file's header declares, None where it declares nothing or can't be read.

    For files of the machine's own user only: it runs FFmpeg in this process.
    """
    try:
        with av.open(str(path)) as container:
            return container.duration / av.time_base if container.duration else None
    except (FFmpegError, OSError, ValueError):
        return None
