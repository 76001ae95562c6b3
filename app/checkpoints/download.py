"""An address -> a complete file with the right sha256. A try that was cut is gone on with, not begun again.

What is there so far lies beside the file as NAME.part. Whoever writes to it holds a lock on it (flock), so a
second download of the same file waits for the first.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm import tqdm  # type: ignore[import-untyped]

from app.errors import DownloadFailed

_CONNECT_SECONDS = 10
_SILENCE_SECONDS = 30
_BLOCK_BYTES = 256 * 1024

_ASKS_THE_PROXY = (
    "The proxy wants a user and a password (407). Set HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT, "
    "with other characters than letters and digits written as %40 and the like."
)
_STATUS_ADVICE = {
    401: "Set WHISPER_HUB=https://USER:PASSWORD@HOST/PATH if it wants a user and a password.",
    404: "Set WHISPER_HUB to the address below which <sha256>/<file> lies.",
}


def download(url: str, target: Path, sha256: str, ca_file: str = "") -> None:
    """Fetch a file; it gets its name only once it is complete and its sha256 is right.

    Proxies are taken from the environment. Certificates are checked against `ca_file` if there is one, else
    against the machine's own authorities. Shows progress on stderr. Raises DownloadFailed, which says why.
    """
    part = part_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone_with(part) as file:
            if not target.exists():  # it is there by now if another download was waited for
                _receive(url, file, ca_file)
                _check(file, part, sha256)
                part.replace(target)
    except OSError as error:
        raise DownloadFailed(_reason(error, url, target.parent)) from error


def part_of(target: Path) -> Path:
    """Where the first bytes of a file lie until all are there."""
    return target.with_name(f"{target.name}.part")


def masked(text: str) -> str:
    """The text with *** for the password in any address."""
    return re.sub(r"://([^/:@\s]*):\S*@", r"://\1:***@", text)


def mebibytes(count: float) -> str:
    """A number of bytes, to be read by people."""
    return f"{count / 2**20:,.1f} MiB"


@contextmanager
def _alone_with(part: Path) -> Iterator[BufferedRandom]:
    """The file, opened to append, while no other process has it. It is removed if it stays empty."""
    while True:
        with part.open("a+b") as file:
            _lock(file, part)
            if not _is_still(file, part):  # the process that was waited for has finished or removed it
                continue
            try:
                yield file
            finally:
                if _is_still(file, part) and not file.seek(0, os.SEEK_END):
                    part.unlink()
            return


def _lock(file: BufferedRandom, part: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"Waiting for another process that writes to {part}", file=sys.stderr)
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_still(file: BufferedRandom, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _receive(url: str, file: BufferedRandom, ca_file: str) -> None:
    """Append what is missing. An attempt that was cut is followed by another if it got farther than any."""
    reached = file.seek(0, os.SEEK_END)
    with requests.Session() as session:
        session.verify = _authorities()
        while True:
            try:
                return _append(session, url, file, ca_file)
            except requests.RequestException:
                if file.tell() <= reached:
                    raise
                reached = file.tell()


def _authorities() -> str | bool:
    """The machine's own, where a company's CA is at home; without any the list that requests brings."""
    paths = ssl.get_default_verify_paths()
    folder = paths.capath if paths.capath and any(Path(paths.capath).iterdir()) else None
    return paths.cafile or folder or True


def _append(session: requests.Session, url: str, file: BufferedRandom, ca_file: str) -> None:
    start = file.seek(0, os.SEEK_END)
    with session.get(
        url,
        headers={"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {}),
        timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS),
        verify=ca_file or None,
        stream=True,
    ) as answer:
        if start and answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is missing; the sha256 tells whether it is right
        _require_contents(answer, start)
        if start and answer.status_code == requests.codes.ok:  # all of it, in spite of the range
            start = file.seek(0)
            file.truncate()
        _write(answer, start, file)


def _require_contents(answer: requests.Response, start: int) -> None:
    status, where = answer.status_code, masked(answer.url)
    if status == requests.codes.proxy_authentication_required:
        raise DownloadFailed(_ASKS_THE_PROXY)
    if status not in (requests.codes.ok, requests.codes.partial_content):
        advice = _STATUS_ADVICE.get(status, "")
        raise DownloadFailed(f"{where} answers {status} {answer.reason}. {advice}".rstrip())
    given = answer.headers.get("Content-Range", "")
    if status == requests.codes.partial_content and not given.startswith(f"bytes {start}-"):
        raise DownloadFailed(f"{where} was asked for all from byte {start} on and sends {given!r}.")


def _write(answer: requests.Response, start: int, file: BufferedRandom) -> None:
    length = answer.headers.get("Content-Length")
    _require_room(int(length or 0), Path(file.name))
    with _progress(Path(file.name).stem, start, start + int(length) if length else None) as bar:
        for block in answer.iter_content(_BLOCK_BYTES):
            file.write(block)
            bar.update(len(block))


def _require_room(needed: int, part: Path) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise DownloadFailed(
            _no_room(part.parent, f"{mebibytes(needed)} are to come, {mebibytes(free)} free")
        )


def _no_room(folder: Path, found: str) -> str:
    return (
        f"There is no room in {folder}: {found}. Make room, or choose another folder with WHISPER_MODEL_DIR."
    )


def _progress(what: str, start: int, total: int | None) -> tqdm:
    # Logs keep every redrawn line, so a bar that nobody watches is drawn rarely.
    pause_seconds = 0.2 if sys.stderr.isatty() else 10
    return tqdm(
        desc=what,
        initial=start,
        total=total,
        unit="iB",
        unit_scale=True,
        unit_divisor=1024,
        mininterval=pause_seconds,
    )


def _check(file: BufferedRandom, part: Path, sha256: str) -> None:
    file.seek(0)
    found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        part.unlink()
        raise DownloadFailed(
            f"What came has the sha256 {found}, expected is {sha256}; it was deleted. "
            "Try once more; if it happens again, something on the way sends other contents."
        )


def _reason(error: OSError, url: str, folder: Path) -> str:
    """What went wrong and what to do, without any password."""
    root, host = _root(error), urlsplit(url).hostname
    if isinstance(root, ssl.SSLCertVerificationError):
        return (
            f"The certificate of {host} is not trusted ({root.verify_message}). "
            "Set SSL_CERT_FILE to a PEM file with your company's CA."
        )
    if " 407 " in str(root):
        return _ASKS_THE_PROXY
    if isinstance(error, requests.exceptions.ProxyError):
        return f"The proxy that HTTPS_PROXY names can't be used ({masked(str(root))})."
    if isinstance(error, requests.RequestException):
        return f"{host} can't be reached ({masked(str(root))}). Set HTTPS_PROXY if a proxy leads out."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _no_room(folder, "the disk is full")
    return f"{masked(str(error))}."


def _root(error: BaseException) -> BaseException:
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error
