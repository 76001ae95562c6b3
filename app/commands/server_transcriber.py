"""Files of `python -m app transcribe` -> a server's transcripts, streamed as `verbose_json`."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO
from uuid import uuid4

import requests

from app.commands.transcriber import OnProgress
from app.errors import ServerBusy, SpeechError
from app.languages import language_code
from app.transcript import Segment, Transcript

_CONNECT_SECONDS = 10
_SILENCE_SECONDS = 120
"""A server that works on a stream sends something every 10 seconds."""
_TRIES = 5
_BLOCK_BYTES = 256 * 1024
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_DEFAULT_WAIT_SECONDS = 5


class BrokenOff(Exception):
    """The connection ended before the answer did."""


class ServerTranscriber:
    """A FileTranscriber that asks a server at a base URL, with or without `/v1`."""

    def __init__(self, url: str, key: str, ca_file: str, fields: dict[str, str]) -> None:
        base = url.rstrip("/").removesuffix("/v1")
        self._url = f"{base}/v1/audio/transcriptions"
        self._key = key
        self._ca_file = ca_file
        self._fields = fields | {"stream": "true", "response_format": "verbose_json"}
        self._stopped = Event()

    def transcribe(self, path: Path, on_progress: OnProgress) -> Transcript:
        """A file's transcript. A connection that breaks is tried again: the server goes on where it was."""
        for attempt in range(1, _TRIES + 1):
            try:
                return self._ask(path, on_progress)
            except (requests.RequestException, BrokenOff) as error:
                if attempt == _TRIES or self._stopped.wait(2.0**attempt):
                    raise SpeechError(f"{self._url}: {error}") from error
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Drop whatever is still being transcribed."""
        self._stopped.set()

    def _ask(self, path: Path, on_progress: OnProgress) -> Transcript:
        boundary = uuid4().hex
        with (
            path.open("rb") as file,
            requests.post(
                self._url,
                data=_form(self._fields, path.name, file, boundary),
                headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
                auth=self._authorize,
                timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS),
                verify=self._ca_file or True,
                stream=True,
            ) as answer,
        ):
            _require_ok(answer)
            return self._read(answer, on_progress)

    def _read(self, answer: requests.Response, on_progress: OnProgress) -> Transcript:
        for event in _events(answer):
            if self._stopped.is_set():
                raise SpeechError("Interrupted.")
            if "error" in event:
                raise SpeechError(event["error"]["message"])
            if event["type"] == "transcript.text.done":
                return _transcript(event)
            if segment := event.get("segment"):
                on_progress(segment["end"])
        raise BrokenOff("the stream ended before the transcript did")

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The given key or none: without this, requests would look for one in ~/.netrc."""
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def _form(fields: dict[str, str], name: str, file: BinaryIO, boundary: str) -> Iterator[bytes]:
    """A form, piece by piece: requests' own would be in memory as a whole."""
    for field, value in fields.items():
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    disposition = f'form-data; name="file"; filename="{quoted}"'
    yield f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode(errors="replace")
    yield from iter(lambda: file.read(_BLOCK_BYTES), b"")
    yield f"\r\n--{boundary}--\r\n".encode()


def _require_ok(answer: requests.Response) -> None:
    if answer.status_code == HTTPStatus.OK:
        return
    message = _error_message(answer)
    if answer.status_code in _BUSY:
        wait = answer.headers.get("Retry-After", "")
        seconds = int(wait) if wait.isdecimal() and len(wait) < 4 else _DEFAULT_WAIT_SECONDS
        raise ServerBusy(message, retry_after_seconds=seconds)
    raise SpeechError(message)


def _error_message(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.url} answers {answer.status_code} {answer.reason}"


def _events(answer: requests.Response) -> Iterator[dict[str, Any]]:
    if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
        raise SpeechError(f"{answer.url} does not stream 'verbose_json': is it this program's server?")
    for line in answer.iter_lines():
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


def _transcript(done: dict[str, Any]) -> Transcript:
    language = language_code(done["language"]) or "en"
    segments = tuple(
        Segment(
            id=segment["id"],
            seek=segment["seek"],
            start_seconds=segment["start"],
            end_seconds=segment["end"],
            text=segment["text"],
            tokens=tuple(segment["tokens"]),
            temperature=segment["temperature"],
            avg_logprob=segment["avg_logprob"],
            compression_ratio=segment["compression_ratio"],
            no_speech_prob=segment["no_speech_prob"],
            language=language,
        )
        for segment in done["segments"]
    )
    return Transcript("transcribe", language, done["duration"], done["text"], segments)
