"""Checks of the network: proxies and trusted authorities."""

from pathlib import Path
from urllib.request import getproxies, proxy_bypass

from app.checkpoints.download import masked
from app.commands.row import Row, bad, good, warn
from app.settings import Settings


def proxies() -> Row:
    """Which proxies are used for downloads, and whether they are for local clients too."""
    addresses = {name: masked(address) for name, address in getproxies().items() if name != "no"}
    if not addresses:
        return good("proxies", "none")
    shown = ", ".join(f"{name}: {address}" for name, address in addresses.items())
    if not proxy_bypass("127.0.0.1"):
        advice = "Set NO_PROXY=localhost,127.0.0.1, so that clients on this machine reach the server."
        return warn("proxies", f"{shown}, for 127.0.0.1 too", advice)
    return good("proxies", shown)


def authorities(settings: Settings) -> Row:
    """Whether the file of trusted authorities exists."""
    if not settings.ca_file:
        return good("authorities", "the machine's own")
    if not Path(settings.ca_file).is_file():
        advice = "Put your company's CA there in PEM format, or unset SSL_CERT_FILE."
        return bad("authorities", f"SSL_CERT_FILE is {settings.ca_file}, and there is no such file", advice)
    return good("authorities", settings.ca_file)
