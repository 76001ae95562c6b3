"""A real neural voice through the real server: text, speech, and the same text again.

piper draws noise for each text, so now and then a word is not heard right.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.real import speech
from training.word_errors import word_error_rate

pytestmark = pytest.mark.timeout(3_600)

TEXTS = (
    "The family of Dashwood had long been settled in Sussex.",
    "Please send the report to the office before Friday afternoon.",
    "She opened the window and listened to the rain on the roof.",
)
VOICES = ("alloy", "shimmer")
"""As the voice file is, and at another pitch."""


MODELS = [pytest.param("tiny.en", marks=pytest.mark.slow), pytest.param("base", marks=pytest.mark.real)]


@pytest.fixture(scope="module", params=MODELS)
def server(
    request: pytest.FixtureRequest, piper_voice: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GunicornServer]:
    settings = {
        "WHISPER_MODEL": str(speech.weights(request.param)),
        "SPEECH_ENGINE": "piper",
        "SPEECH_VOICE": str(piper_voice),
    }
    with GunicornServer(tmp_path_factory.mktemp("server") / "server.log", **settings) as running:
        yield running.wait_until_ready()


@pytest.mark.parametrize("voice", VOICES)
def test_what_piper_says_is_what_whisper_hears(server: GunicornServer, tmp_path: Path, voice: str) -> None:
    pairs = []
    for text in TEXTS:
        body = {"model": "tts-1", "voice": voice, "input": text, "response_format": "wav"}
        spoken = requests.post(f"{server.url}/v1/audio/speech", json=body, timeout=PATIENCE_SECONDS)
        assert spoken.status_code == 200, spoken.text
        recording = tmp_path / "spoken.wav"
        recording.write_bytes(spoken.content)
        pairs.append((text, server.transcribe(recording, language="en").json()["text"]))
    assert word_error_rate(pairs) <= 0.1, pairs
