"""Keeps the results of each upload, so that a client that sends it again doesn't start from the beginning."""

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

MAX_KEPT_UPLOADS = 64
"""Uploads without a client that are kept at a time."""


def upload_identity(file: BinaryIO, request: TranscriptionRequest, caller: str, model: str = "") -> bytes:
    """A digest of caller, options, model and file content. The file is left at its start."""
    file.seek(0)
    content = hashlib.file_digest(cast(BytesIO, file), "sha256").hexdigest()
    file.seek(0)
    # repr distinguishes 1 from 1.0, and so does the seed of sampling
    return hashlib.sha256(repr((caller, content, request, model)).encode()).digest()


@dataclass(eq=False)
class _Upload:
    """An upload's results, how many requests work on it, and when it expires once there are none."""

    identity: bytes
    results: ResultCache = field(default_factory=ResultCache)
    clients: int = 0
    expires_at: float = 0.0


@dataclass(eq=False)
class _RequestUploads:
    """The uploads of one request (a chat may have several), and how many it still works on."""

    uploads: list[_Upload] = field(default_factory=list)
    unfinished: int = 0
    answered: bool = True


class ResumeStore:
    """The uploads being worked on, and those whose last client left without an answer.

    The latter are kept for `grace_seconds`, at most MAX_KEPT_UPLOADS of them. With 0, nothing is kept.
    """

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._lock = Lock()
        self._uploads: dict[bytes, _Upload] = {}
        self._requests: dict[int, _RequestUploads] = {}  # by the id of the request's context
        self._sweeper: Timer | None = None

    def __len__(self) -> int:
        """How many uploads there are."""
        return len(self._uploads)

    @contextmanager
    def resuming(
        self,
        engine: Engine,
        file: BinaryIO,
        request: TranscriptionRequest,
        context: RequestContext,
        model: str = "",
    ) -> Iterator[Engine]:
        """An engine for one request that uses the kept results for the same upload of the same caller.

        `model` identifies the engine's model: another one's results are never used.

        `file` is read once and left at its start. The request counts as answered unless the context is left
        with an error or its client has gone. A request with several uploads keeps all of them until it has
        left the last one, and is answered if it left each of them answered.
        """
        if not self._grace_seconds:
            yield engine
            return
        upload = self._add_client(upload_identity(file, request, context.caller, model), context)
        answered = False
        try:
            yield CachingEngine(engine, upload.results)
            answered = not context.abandoned
        finally:
            self._remove_client(context, answered)

    def close(self) -> None:
        """Delete all uploads."""
        with self._lock:
            self._uploads.clear()
            if self._sweeper is not None:
                self._sweeper.cancel()
                self._sweeper = None

    def _add_client(self, identity: bytes, context: RequestContext) -> _Upload:
        with self._lock:
            upload = self._uploads.setdefault(identity, _Upload(identity))
            upload.clients += 1
            request_uploads = self._requests.setdefault(id(context), _RequestUploads())
            request_uploads.uploads.append(upload)
            request_uploads.unfinished += 1
        return upload

    def _remove_client(self, context: RequestContext, answered: bool) -> None:
        """The request has finished one upload. With the last one it releases all of them."""
        with self._lock:
            request_uploads = self._requests[id(context)]
            request_uploads.unfinished -= 1
            request_uploads.answered &= answered
            if request_uploads.unfinished:
                return
            del self._requests[id(context)]
            for upload in request_uploads.uploads:
                self._release(upload, request_uploads.answered)

    def _release(self, upload: _Upload, answered: bool) -> None:
        """Delete an upload, unless its last client left without an answer. Called with the lock held."""
        upload.clients -= 1
        if upload.clients:
            return
        self._uploads.pop(upload.identity, None)
        if not answered and len(upload.results):
            upload.expires_at = monotonic() + self._grace_seconds
            self._uploads[upload.identity] = upload  # at the end: the order is that of expiry
            self._delete(list(self._without_client())[:-MAX_KEPT_UPLOADS])
            self._sweep_later(self._grace_seconds)

    def _without_client(self) -> Iterator[bytes]:
        """The identities of uploads without a client, the oldest first."""
        return (identity for identity, upload in self._uploads.items() if not upload.clients)

    def _delete(self, identities: Sequence[bytes]) -> None:
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
            uploads = self._uploads
            self._delete([each for each in self._without_client() if uploads[each].expires_at <= now])
            if (first := next(self._without_client(), None)) is not None:
                self._sweep_later(self._uploads[first].expires_at - now)
