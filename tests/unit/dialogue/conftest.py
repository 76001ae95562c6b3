"""A conversation's transcriber without a model, and requests to have one."""

from base64 import b64encode
from typing import Any, BinaryIO

import pytest

from app.errors import UndecodableAudio
from app.transcript import TokenUsage, TranscriptDelta
from app.transcription.side_by_side import SideBySide
from app.transcription.transcriber import Deltas


class ScriptedTranscriber:
    """Transcribes what the file says in plain text, word by word; `count_tokens` counts characters."""

    def __init__(self, threads: int = 0) -> None:
        self.side_by_side = SideBySide(threads)
        self.opened: list[str] = []

    def stream(self, file: BinaryIO) -> Deltas:
        said = file.read().decode()
        self.opened.append(said)
        if said == "noise":
            raise UndecodableAudio("Bad audio.", param="file")
        return self._deltas(said)

    def count_tokens(self, text: str) -> int:
        return len(text)

    def _deltas(self, said: str) -> Deltas:
        for number, word in enumerate(said.split()):
            yield TranscriptDelta("en", f" {word}" if number else word)
        yield TranscriptDelta("en", usage=TokenUsage(10, 0, len(said.split())))


@pytest.fixture
def transcriber() -> ScriptedTranscriber:
    return ScriptedTranscriber()


def base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def audio(said: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": base64(said), "format": "wav"}}


def linked(kind: str, url: str) -> dict[str, Any]:
    return {"type": kind, kind: {"url": url}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def fields(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "gpt-audio", "messages": list(messages), **more}
