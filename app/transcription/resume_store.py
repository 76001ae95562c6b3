"""Results kept for each upload: a client that sends one again goes on where it was."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from threading import Lock, Timer
from time import monotonic
from typing import BinaryIO, cast

from app.engines.interface import Engine
from app.request_context import RequestContext
from app.transcription.request import TranscriptionRequest
from app.transcription.result_cache import CachingEngine, ResultCache

MOST_LEFT = 64
"""Uploads without a client that are kept at a time."""


def upload_identity(file: BinaryIO, request: TranscriptionRequest, caller: str) -> bytes:
    """One digest of who asks, every option and every byte of a file, which is left at its start."""
    file.seek(0)
    content = hashlib.file_digest(cast(BytesIO, file), "sha256").hexdigest()
    file.seek(0)
    # repr tells 1 from 1.0, as the draws above temperature 0 do
    return hashlib.sha256(repr((caller, content, request)).encode()).digest()


@dataclass(eq=False)
class _Upload:
    """An upload's results, the requests that work on it now, and until when it stays once they have left."""

    identity: bytes
    results: ResultCache = field(default_factory=ResultCache)
    clients: int = 0
    until: float = 0.0


@dataclass(eq=False)
class _Visit:
    """The uploads of one request, of which a chat may have several, and how many it still works on."""

    uploads: list[_Upload] = field(default_factory=list)
    unfinished: int = 0
    answered: bool = True


class ResumeStore:
    """The uploads being worked on, and those whose last client left without an answer.

    The latter stay for `grace_seconds`, at most MOST_LEFT of them; with 0 nothing is remembered at all.
    """

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._lock = Lock()
        self._uploads: dict[bytes, _Upload] = {}
        self._visits: dict[int, _Visit] = {}  # by the id of the request's context
        self._sweeper: Timer | None = None

    def __len__(self) -> int:
        """How many are known."""
        return len(self._uploads)

    @contextmanager
    def resuming(
        self,
        engine: Engine,
        file: BinaryIO,
        request: TranscriptionRequest,
        context: RequestContext,
    ) -> Iterator[Engine]:
        """The engine for one request, with all that it has said about the same upload of the same caller.

        `file` is read once and left at its start. Leaving with an error, or with the client gone, is
        leaving without an answer. A request with several uploads keeps all of them until it has left the
        last one, and is answered if it left each of them so.
        """
        if not self._grace_seconds:
            yield engine
            return
        upload = self._enter(upload_identity(file, request, context.caller), context)
        answered = False
        try:
            yield CachingEngine(engine, upload.results)
            answered = not context.abandoned
        finally:
            self._leave(context, answered)

    def close(self) -> None:
        """Forget them all."""
        with self._lock:
            self._uploads.clear()
            if self._sweeper is not None:
                self._sweeper.cancel()
                self._sweeper = None

    def _enter(self, identity: bytes, context: RequestContext) -> _Upload:
        with self._lock:
            upload = self._uploads.setdefault(identity, _Upload(identity))
            upload.clients += 1
            visit = self._visits.setdefault(id(context), _Visit())
            visit.uploads.append(upload)
            visit.unfinished += 1
        return upload

    def _leave(self, context: RequestContext, answered: bool) -> None:
        """One upload less to work on. With the last one the request leaves all of them."""
        with self._lock:
            visit = self._visits[id(context)]
            visit.unfinished -= 1
            visit.answered &= answered
            if visit.unfinished:
                return
            del self._visits[id(context)]
            for upload in visit.uploads:
                self._release(upload, visit.answered)

    def _release(self, upload: _Upload, answered: bool) -> None:
        """Called with the lock held."""
        upload.clients -= 1
        if upload.clients:
            return
        self._uploads.pop(upload.identity, None)
        if not answered and len(upload.results):
            upload.until = monotonic() + self._grace_seconds
            self._uploads[upload.identity] = upload  # behind those that left before
            self._forget(list(self._left())[:-MOST_LEFT])
            self._sweep_later(self._grace_seconds)

    def _left(self) -> Iterator[bytes]:
        """Who has no client, those that left first in front."""
        return (identity for identity, upload in self._uploads.items() if not upload.clients)

    def _forget(self, identities: Sequence[bytes]) -> None:
        for identity in identities:
            del self._uploads[identity]

    def _sweep_later(self, seconds: float) -> None:
        if self._sweeper is None:
            self._sweeper = Timer(seconds, self._sweep)
            self._sweeper.daemon = True
            self._sweeper.start()

    def _sweep(self) -> None:
        now = monotonic()
        with self._lock:
            self._sweeper = None
            self._forget([identity for identity in self._left() if self._uploads[identity].until <= now])
            if (first := next(self._left(), None)) is not None:
                self._sweep_later(self._uploads[first].until - now)
