"""What langchain-community's OpenAIWhisperParser sends: the recording in pieces, through OpenAI's client."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.functional.checked_clients import openai_client
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import DATA, EXPECTED, convert

PIECES = ("flagship.wav", "three_utterances.wav")


@pytest.fixture(scope="module")
def client(server: GunicornServer) -> Iterator[OpenAI]:
    with openai_client(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """MP3 files, as pydub exports them."""
    folder: Path = tmp_path_factory.mktemp("langchain")
    mp3 = ("-b:a", "128k")
    return [convert(DATA / name, folder / f"{name}.mp3", *mp3).read_bytes() for name in PIECES]


def parsed(client: OpenAI, pieces: list[bytes], **options: Any) -> list[str]:
    """The documents' texts: an answer's `text`, or the answer itself where it is a string."""
    texts = []
    for number, piece in enumerate(pieces):
        file = io.BytesIO(piece)
        file.name = f"talk.m4a_part_{number}.mp3"
        answer = client.audio.transcriptions.create(model="whisper-1", file=file, **options)
        texts.append(answer if isinstance(answer, str) else answer.text)
    return texts


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"language": "en", "prompt": "Sentences.", "temperature": 0.0},
        {"response_format": "verbose_json"},
        {"response_format": "text"},
    ],
    ids=["bare", "options", "verbose", "text"],
)
def test_parser(client: OpenAI, pieces: list[bytes], options: dict[str, Any]) -> None:
    texts = [text.removesuffix("\n") for text in parsed(client, pieces, **options)]
    assert texts == [EXPECTED[name]["text"] for name in PIECES]


def test_parser_with_subtitles(client: OpenAI, pieces: list[bytes]) -> None:
    assert all(text.startswith("1\n00:00:0") for text in parsed(client, pieces, response_format="srt"))
