"""The clients of a soak: what each of them asks, and what it makes of the answer."""

import base64
import json
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import requests

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.malformed import Malformed
from tests.functional.raw_client import RawClient
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP

NOT_IMPLEMENTED = 501
"""HTTP's answer to an unknown Transfer-Encoding, and the only failure that is not the server's."""


class Visitor:
    """One client with a connection that it keeps. What a scenario returns is the same every time."""

    def __init__(self, server: GunicornServer) -> None:
        self._url = server.url
        self._session = requests.Session()
        self._address = (server.host, server.port)

    def close(self) -> None:
        """Hang up."""
        self._session.close()

    def transcribe(self, recording: Path, task: str = "transcriptions", **fields: str) -> requests.Response:
        """The answer to a form; raises HTTPError unless it is 200."""
        with recording.open("rb") as file:
            answer = self._session.post(
                f"{self._url}/v1/audio/{task}",
                data={"model": "whisper-1", **fields},
                files={"file": file},
                stream="stream" in fields,
                timeout=PATIENCE_SECONDS,
            )
        answer.raise_for_status()
        return answer

    def text(self, recording: Path, **fields: str) -> str:
        """What a JSON answer says was said."""
        text = str(self.transcribe(recording, **fields).json()["text"])
        if "task" not in fields and text != EXPECTED[recording.name].get("text", text):
            raise AssertionError(f"{text!r} was not said in {recording.name}")
        return text

    def translation(self) -> str:
        """German in English."""
        return str(self.transcribe(DATA / "german.wav", "translations").json()["text"])

    def subtitles(self, form: str) -> str:
        """A whole file of them."""
        return self.transcribe(DATA / "three_utterances.wav", response_format=form).text

    def words(self) -> str:
        """Each word and its place."""
        granularity = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
        return json.dumps(self.transcribe(FLAGSHIP, **granularity).json()["words"])

    def stream(self, recording: Path) -> str:
        """All deltas."""
        answer = self.transcribe(recording, stream="true")
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith(b"data: ")]
        text = "".join(event["delta"] for event in events[:-1])
        if events[-1]["text"] != text:
            raise AssertionError(f"the deltas are {text!r}, the text is {events[-1]['text']!r}")
        return text

    def leave(self) -> str:
        """Hear the beginning of a minute and go."""
        with self.transcribe(DATA / "minute.flac", stream="true") as answer:
            return next(line for line in answer.iter_lines() if line.startswith(b"data: ")).decode()

    def chat(self, streamed: bool) -> str:
        """What a chat replies to a recording."""
        data = base64.b64encode(FLAGSHIP.read_bytes()).decode()
        audio = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
        body = {
            "model": "gpt-4o-audio-preview",
            "messages": [{"role": "user", "content": [audio]}],
            "stream": streamed,
        }
        answer = self._session.post(f"{self._url}/v1/chat/completions", json=body, timeout=PATIENCE_SECONDS)
        answer.raise_for_status()
        if not streamed:
            return str(answer.json()["choices"][0]["message"]["content"])
        chunks = [line[6:] for line in answer.iter_lines() if line.startswith(b"data: {")]
        return "".join(_delta(json.loads(chunk)) for chunk in chunks)

    def probe(self) -> str:
        """Whether it lives and is ready, and which models it has."""
        answers = [self._session.get(self._url + path) for path in ("/health", "/ready", "/v1/models")]
        for answer in answers:
            answer.raise_for_status()
        return " ".join(model["id"] for model in answers[-1].json()["data"])

    def malformed(self, request: Malformed) -> None:
        """Send what no client should, on a connection of its own. Raises AssertionError for a bad answer."""
        with closing(RawClient(*self._address)) as client:
            status = client.status(request.data, ends=request.ends)
        if status is None and not request.ends:
            raise AssertionError(f"no answer to {request}")
        if status is not None and status >= 500 and status != NOT_IMPLEMENTED:
            raise AssertionError(f"{status} for {request}")


def _delta(chunk: dict[str, Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])


SCENARIOS: dict[str, tuple[Callable[[Visitor], str], int]] = {
    "json": (partial(Visitor.text, recording=FLAGSHIP), 20),
    "note": (partial(Visitor.text, recording=DATA / "numbers.wav"), 10),
    "telephone": (partial(Visitor.text, recording=DATA / "flite.wav"), 5),
    "German": (partial(Visitor.text, recording=DATA / "german.wav"), 5),
    "translation": (Visitor.translation, 5),
    "minute": (partial(Visitor.text, recording=DATA / "minute.flac"), 3),
    "srt": (partial(Visitor.subtitles, form="srt"), 5),
    "vtt": (partial(Visitor.subtitles, form="vtt"), 5),
    "words": (Visitor.words, 10),
    "stream": (partial(Visitor.stream, recording=DATA / "three_utterances.wav"), 10),
    "long stream": (partial(Visitor.stream, recording=DATA / "minute.flac"), 2),
    "leaving": (Visitor.leave, 5),
    "chat": (partial(Visitor.chat, streamed=False), 8),
    "chat stream": (partial(Visitor.chat, streamed=True), 5),
    "probes": (Visitor.probe, 10),
}
"""Name -> what a visitor does, and how often it does so among the others."""
