"""Programs under strace, and what of their system calls leaves the machine: native code is seen too."""

import os
import re
from ipaddress import ip_address
from pathlib import Path

from tests.functional.gunicorn_server import GunicornServer
from tests.processes import children

CALLS = ("connect", "sendto", "sendmsg", "sendmmsg")
"""All that names a receiver."""

RESOLVERS = ("/run/nscd/", "/run/systemd/resolve/", "/run/avahi-daemon/", "/run/dbus/", "/var/lib/sss/pipes/")
"""Whoever is asked over one of these sockets may ask the network."""

_QUOTED = re.compile(r'"([^"]*)"')
_PORT = re.compile(r"port=htons\((\d+)\)")
_DNS = 53
_UNDER_RUN = re.compile("^/var/run/")


def strace(folder: Path) -> list[str]:
    """The command in front of a program: each thread's calls go to a file of its own.

    So no line is cut in two. No text that is sent is written down (`-s 0`): it could look like an address.
    """
    traced = ["-e", f"trace={','.join(CALLS)}", "-e", "signal=none"]
    return ["strace", "-ff", "--seccomp-bpf", "-qq", "-s", "0", *traced, "-o", str(folder / "trace"), "--"]


class TracedServer(GunicornServer):
    """A server under strace, whose child it is."""

    def __init__(self, log: Path, folder: Path, **changes: str) -> None:
        super().__init__(log, under=strace(folder), **changes)

    @property
    def pid(self) -> int:
        """The master's."""
        [master] = children(self.process.pid)
        return master


def traced_threads(folder: Path) -> set[int]:
    """The ids of all threads that have been followed."""
    return {int(path.suffix[1:]) for path in folder.iterdir()}


def outward(folder: Path) -> list[str]:
    """The calls of all threads that lead out of the machine, or to whoever resolves names for it."""
    lines = (line for path in folder.iterdir() for line in path.read_text(errors="replace").splitlines())
    return [line for line in lines if any(map(leads_out, addresses(line)))]


def addresses(line: str) -> list[str]:
    """The receivers that a line of strace's names, each from its family on."""
    return line.split("sa_family=")[1:]


def leads_out(address: str) -> bool:
    """Whether what is sent to a receiver may leave the machine; any kind that is not known does."""
    family, named = re.split(r"\W", address, maxsplit=1)[0], _QUOTED.findall(address)
    if family == "AF_UNIX":
        return any(_UNDER_RUN.sub("/run/", os.path.normpath(path)).startswith(RESOLVERS) for path in named)
    if family in ("AF_INET", "AF_INET6"):
        return int(_PORT.findall(address)[0]) == _DNS or not all(map(_is_loopback, named[:1]))
    return family not in ("AF_NETLINK", "AF_UNSPEC")


def _is_loopback(text: str) -> bool:
    found = ip_address(text)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback
