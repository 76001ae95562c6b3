"""`python -m app.confinement`: exit status 0 if a process can be confined on this machine, with the filter.

`python -m app doctor` runs it in a child process, because the restrictions can't be undone.
"""

import socket
import sys

from app.confinement import confine, filter_system_calls


def main() -> int:
    """1 if the filter is missing or has no effect."""
    confine(memory_bytes=1 << 30, file_bytes=0)
    if not filter_system_calls():
        return 1
    try:
        socket.socket().close()
    except PermissionError:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
