"""Checks whether nginx's limits on bodies and time are at least the server's."""

import re
from math import inf
from pathlib import Path

from app.checkpoints.download import mebibytes
from app.commands.row import Row, State, bad, good
from app.settings import Settings

INSTALLED = Path("/etc/nginx")
TEMPLATE = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"

_DEFAULT_BYTES = 2**20
_DEFAULT_SECONDS = 60
_SIZES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_UNITS = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def check(settings: Settings, given: Path | None = None) -> list[Row]:
    """Two rows, for bodies and time-out, or one that says why nothing was compared.

    The settings are those in the file `given`, else of this machine's nginx if it is a proxy, else those in
    `deploy`.
    """
    try:
        where, text = _read(given)
    except OSError as error:
        advice = "Name a file that can be read with --nginx FILE."
        return [bad("nginx", f"{given} can't be read ({error.strerror})", advice)]
    if not where:
        return [good("nginx", "no settings of it found, so nothing was compared; --nginx FILE names them")]
    return [_bodies(where, text, settings), _read_timeout(where, text, settings)]


def _read(given: Path | None) -> tuple[str, str]:
    """The settings' path and text."""
    if given:
        return str(given), given.read_text(encoding="utf-8", errors="replace")
    texts = map(_text, [INSTALLED / "nginx.conf", *_files_in("conf.d"), *_files_in("sites-enabled")])
    installed = "\n".join(texts)
    if "proxy_pass" in installed:
        return str(INSTALLED), installed
    template = _text(TEMPLATE)
    return (str(TEMPLATE), template) if template else ("", "")


def _files_in(folder: str) -> list[Path]:
    return sorted((INSTALLED / folder).glob("*"))


def _text(path: Path) -> str:
    """A file's text, empty if it can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _bodies(where: str, text: str, settings: Settings) -> Row:
    needed = max(settings.max_body_bytes, settings.max_json_bytes)
    limits = [_bytes(value) for value in _values(text, "client_max_body_size")] or [_DEFAULT_BYTES]
    sizes = " and ".join("no limit" if size == inf else mebibytes(size) for size in sorted(set(limits)))
    advice = f"Set client_max_body_size {needed // 2**20}m; where requests are passed on."
    return _row(
        "nginx bodies", f"{sizes} in {where}; needed {mebibytes(needed)}", _state(limits, needed), advice
    )


def _read_timeout(where: str, text: str, settings: Settings) -> Row:
    needed = settings.request_seconds
    timeouts = [_seconds(value) for value in _values(text, "proxy_read_timeout")] or [_DEFAULT_SECONDS]
    times = " and ".join(f"{seconds:g} s" for seconds in sorted(set(timeouts)))
    advice = f"Set proxy_read_timeout {needed}s; where requests are passed on."
    return _row("nginx timeout", f"{times} in {where}; needed {needed} s", _state(timeouts, needed), advice)


def _state(values: list[float], needed: float) -> State:
    """OK if all values are enough, FAIL if none is, else WARN: it depends on which one applies."""
    if min(values) >= needed:
        return "OK"
    return "FAIL" if max(values) < needed else "WARN"


def _row(name: str, finding: str, state: State, advice: str) -> Row:
    return Row(name, state, finding, "" if state == "OK" else advice)


def _values(text: str, directive: str) -> list[str]:
    uncommented = re.sub(r"(?m)(^|\s)#.*", "", text)
    return re.findall(rf"(?<![\w$]){directive}\s+([\w\s]+);", uncommented)


def _bytes(value: str) -> float:
    """A size as nginx writes it; 0 is no limit."""
    parts = re.fullmatch(r"(\d+)([kmg]?)", value.strip().lower())
    if parts is None:
        return 0.0
    return int(parts[1]) * _SIZES[parts[2]] or inf


def _seconds(value: str) -> float:
    """A time as nginx writes it, such as `1h 30m`, in seconds."""
    parts = re.findall(r"(\d+)(ms|[smhd]?)", value.lower())
    return sum(int(number) * _UNITS[unit] for number, unit in parts)
