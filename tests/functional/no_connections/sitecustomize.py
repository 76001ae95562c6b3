"""Python runs this by itself where its folder is in PYTHONPATH: the server may open no connection.

Each try is refused and written to the file that CONNECTIONS_LOG names. Each process writes `armed` there.
"""

import os
import socket
import sys
from pathlib import Path

EVENTS = {
    "socket.connect": lambda end, address: end.family != socket.AF_UNIX,
    "socket.sendto": lambda end, address: end.family != socket.AF_UNIX,
    "socket.sendmsg": lambda end, address: end.family != socket.AF_UNIX and address is not None,
    "socket.getaddrinfo": lambda *question: True,
    "socket.gethostbyname": lambda *question: True,
    "socket.gethostbyaddr": lambda *question: True,
}
"""Audit event -> whether its arguments lead out of the machine's own processes."""


def write(line: str) -> None:
    with Path(os.environ["CONNECTIONS_LOG"]).open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


def refuse(event: str, arguments: tuple) -> None:
    if event in EVENTS and EVENTS[event](*arguments):
        write(f"{event} {arguments}")
        raise PermissionError(f"{event} while serving")


sys.addaudithook(refuse)
write(f"armed {os.getpid()}")
