"""tiny.en and base in one server, under load while one of them is unloaded: each answer is its model's own.

The two have other tokens for the same text.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import requests

from benchmarks.speech import Recording
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.real import speech

pytestmark = [pytest.mark.timeout(3_600), pytest.mark.slow]

NAMES = ("whisper-1", "base")
"""tiny.en answers for the first."""
UNLOADS = 2

Answer = tuple[str, list[tuple[float, float, list[int]]]]
"""The text, and start, end and tokens of each segment."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def recordings(folder: Path) -> list[Path]:
    """Two in English, as files."""
    paths = []
    for number, recording in enumerate(_short(speech.english())):
        paths.append(folder / f"{number}.wav")
        paths[-1].write_bytes(speech.as_file(recording))
    return paths


@pytest.fixture(scope="module")
def both(folder: Path) -> Iterator[GunicornServer]:
    listed = f"base={speech.weights('base')}"
    settings = {"WHISPER_MODEL": str(speech.weights("tiny.en")), "WHISPER_MODELS": listed}
    with GunicornServer(folder / "both.log", **settings) as server:
        yield server.wait_until_ready()


@pytest.fixture(scope="module")
def alone(both: GunicornServer, recordings: list[Path]) -> dict[str, list[Answer]]:
    """What each model says while nobody else asks."""
    answers = {name: [answer_of(both, name, path) for path in recordings] for name in NAMES}
    assert all(one != other for one, other in zip(*answers.values(), strict=True))
    return answers


def _short(recordings: tuple[Recording, ...]) -> list[Recording]:
    return sorted(recordings, key=lambda recording: len(recording.samples))[:2]


def answer_of(server: GunicornServer, model: str, recording: Path) -> Answer:
    answer = server.transcribe(recording, model=model, language="en", response_format="verbose_json")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return body["text"], [(each["start"], each["end"], each["tokens"]) for each in body["segments"]]


def test_each_answers_as_it_does_alone_while_one_is_unloaded_again_and_again(
    both: GunicornServer, alone: dict[str, list[Answer]], recordings: list[Path]
) -> None:
    done = Event()

    def ask(name: str) -> int:
        count = 0
        while not done.is_set() or not count:
            assert [answer_of(both, name, path) for path in recordings] == alone[name]
            count += 1
        return count

    with ThreadPoolExecutor(len(NAMES)) as clients:
        asking = [clients.submit(ask, name) for name in NAMES]
        try:
            while both.log.count("Unloaded base") < UNLOADS and not any(each.done() for each in asking):
                code = requests.delete(f"{both.url}/api/ps/base", timeout=PATIENCE_SECONDS).status_code
                assert code in (200, 404, 409)
        finally:
            done.set()
        assert all(each.result(PATIENCE_SECONDS) for each in asking)
    assert both.log.count("Loaded base") >= UNLOADS
