"""Who transcribes the files of `python -m app transcribe`: a model in this process."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Protocol

from app.checkpoints import resolve
from app.engines.devices import resolve_devices
from app.request_context import RequestContext
from app.requests.parse import parse
from app.runtime import Runtime
from app.settings import Settings
from app.transcript import Transcript
from app.transcription.transcribe import collected

OnProgress = Callable[[float], None]
"""Called with the seconds of the recording that are transcribed."""

_NO_DEADLINE_SECONDS = 1e9


class FileTranscriber(Protocol):
    """Transcribes files, from several threads at a time."""

    def transcribe(self, path: Path, on_progress: OnProgress) -> Transcript:
        """A file's transcript. Raises SpeechError, ServerBusy (wait and try again), OSError."""

    def close(self) -> None:
        """Drop whatever is still being transcribed."""


class LocalTranscriber:
    """A FileTranscriber that loads the model of the settings, for `fields` as a request has them."""

    def __init__(self, settings: Settings, fields: dict[str, str]) -> None:
        self._request = parse(fields, "transcribe").transcription
        self._stopped = Event()
        checkpoint = resolve(settings)
        self._runtime = Runtime(replace(settings, retry_grace_seconds=0))
        self._runtime.start(resolve_devices(settings.devices)[0], checkpoint)

    def transcribe(self, path: Path, on_progress: OnProgress) -> Transcript:
        """A file's transcript."""
        context = RequestContext.of(_NO_DEADLINE_SECONDS, self._stopped.is_set)
        deltas = []
        transcriber = self._runtime.transcriber
        with path.open("rb") as file, closing(transcriber.stream(file, self._request, context)) as stream:
            for delta in stream:
                deltas.append(delta)
                if delta.segment:
                    on_progress(delta.segment.end_seconds)
        return collected(deltas, "transcribe")

    def close(self) -> None:
        """Drop whatever is still being transcribed."""
        self._stopped.set()
        self._runtime.close()
