"""Files of the package that browsers load: cached by their content, compressed, under one security policy."""

from gzip import compress
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path

from flask import Response, request
from werkzeug.utils import cached_property

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; media-src 'self' blob:; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Of every page and file: nothing is loaded from, or told to, another host; no page may frame it."""

_TEXT = ("text/", "application/json", "application/javascript", "image/svg+xml")
_LEAST_BYTES = 1024
"""A smaller file fits into one packet anyway."""


class StaticFile:
    """Content with a type. It is compressed at the first request that wants it so, and kept.

    Threads may share it: whichever is first, the bytes are the same.
    """

    def __init__(self, content: bytes, content_type: str) -> None:
        self.content = content
        self.content_type = content_type

    @classmethod
    def read(cls, path: Path) -> "StaticFile":
        """The file at `path`; its name tells the type. Raises OSError."""
        kind = guess_type(path.name)[0] or "application/octet-stream"
        charset = "; charset=utf-8" if kind.startswith("text/") else ""
        return cls(path.read_bytes(), f"{kind}{charset}")

    @cached_property
    def etag(self) -> str:
        """What identifies the content, whatever its name and time."""
        return sha256(self.content).hexdigest()[:32]

    @cached_property
    def gzipped(self) -> bytes | None:
        """The compressed content, the same bytes in every worker; None if compressing gains nothing."""
        if len(self.content) < _LEAST_BYTES or not self.content_type.startswith(_TEXT):
            return None
        return compress(self.content, mtime=0)

    def response(self) -> Response:
        """The content, compressed if the client takes it so, or a 304 if the client has it already.

        `no-cache` lets browsers keep the file but ask each time, so that an upgrade never mixes versions.
        """
        gzipped = self.gzipped if request.accept_encodings["gzip"] > 0 else None
        response = Response(gzipped or self.content, content_type=self.content_type, headers=SECURITY_HEADERS)
        if gzipped:
            response.content_encoding = "gzip"
        response.set_etag(f"{self.etag}-gzip" if gzipped else self.etag)
        response.cache_control.no_cache = True
        response.vary.add("Accept-Encoding")
        response.make_conditional(request)
        return response


class StaticFolder:
    """The files of a folder by name. Only names that it had at the start are found, and no paths."""

    def __init__(self, folder: Path) -> None:
        self._paths = {path.name: path for path in folder.iterdir() if path.is_file()}
        self._files: dict[str, StaticFile] = {}

    def get(self, name: str) -> StaticFile | None:
        """The file with this name, read at the first request for it; None if there is none."""
        if name not in self._files and name in self._paths:
            self._files[name] = StaticFile.read(self._paths[name])
        return self._files.get(name)
