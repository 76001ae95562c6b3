"""Requests that no client should send. The same seed and number always make the same bytes."""

import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import av
import numpy as np

from app.waveform import SAMPLE_RATE, STEP, Samples
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits
from tests.functional.malformed_http import (
    CHAT,
    FORM,
    MODEL,
    TRANSCRIPTIONS,
    TRANSLATIONS,
    cut,
    form,
    http,
    mutated,
    mutated_chunks,
    mutated_headers,
    mutated_http,
    noise,
)
from tests.functional.recordings import FLAGSHIP

Json = dict[str, Any]


@dataclass(frozen=True)
class Malformed:
    """Bytes for a connection, which its number brings back.

    `ends`: nothing follows, though the server may wait for more.
    """

    number: int
    kind: str
    data: bytes = field(repr=False)
    ends: bool


class Malformer:
    """Makes the requests of one seed, by number."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._files = real_files()

    def __call__(self, number: int) -> Malformed:
        """The request of this number."""
        random = Random(f"{self._seed}/{number}")
        kind, make = random.choice(list(KINDS.items()))
        data = make(random, random.choice(self._files))
        return Malformed(number, kind, data, ends=kind in UNFRAMED)


def real_files() -> list[bytes]:
    """A third of a second in the containers that people upload: once speech, else too faint to be decoded."""
    with FLAGSHIP.open("rb") as file:
        spoken = read_audio(file, AudioLimits())[SAMPLE_RATE // 2 :][: SAMPLE_RATE // 3] * STEP
    faint = [encoded(spoken / 1000, container, codec) for container, codec in CONTAINERS]
    return [encoded(spoken, *CONTAINERS[0]), *faint]


CONTAINERS = [
    ("wav", "pcm_s16le"),
    ("mp3", "mp3"),
    ("ipod", "aac"),
    ("ogg", "libopus"),
    ("webm", "libopus"),
    ("flac", "flac"),
    ("adts", "aac"),
    ("aiff", "pcm_s16be"),
]


def encoded(samples: Samples, container: str, codec: str) -> bytes:
    """A file of 16 kHz samples `[n]`, without the random ids that Matroska and Ogg have."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, container_options={"fflags": "bitexact"}) as output:
        stream = output.add_stream(codec, rate=48_000, layout="mono", options={"flags": "bitexact"})
        frame = av.AudioFrame.from_ndarray((samples * 32_767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = SAMPLE_RATE
        output.mux([*stream.encode(frame), *stream.encode(None)])
    return buffer.getvalue()


def chat(data: str) -> Json:
    """A chat about one recording in base64."""
    audio = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    return {
        "model": "gpt-4o-audio-preview",
        "messages": [
            {"role": "system", "content": "Listen."},
            {"role": "user", "content": [{"type": "text", "text": "What is said?"}, audio]},
        ],
        "modalities": ["text"],
        "stream": False,
    }


def some_json(random: Random, file: bytes) -> tuple[str, Json]:
    """A good JSON request: its path and body."""
    data = base64.b64encode(file).decode()
    if random.random() < 0.5:
        return CHAT, chat(data)
    return TRANSCRIPTIONS, {**MODEL, "input_audio": {"data": data, "format": "wav"}, "language": "en"}


TYPES = (
    *("multipart/form-data", f"{FORM}b", 'multipart/form-data; boundary=""', f"{FORM}; x=\xff\xfe"),
    *("multipart/form-data; boundary=\xe9", "multipart/mixed; boundary=b", f"{FORM}; boundary=c"),
)
NAMES = (b"", b"name", b'name="', b'filename="\xff"', b"name*=utf-8''%ff", b'name="a"; name="b"')


def broken_form(random: Random, file: bytes) -> bytes:
    """Boundaries, part headers and ends that don't fit."""
    body, content_type = form(MODEL, file), FORM
    match random.randrange(8):
        case 0:
            content_type = random.choice(TYPES)
        case 1:
            body = cut(random, body)
        case 2:
            body = body.replace(b"Content-Disposition", random.choice((b"", b"X", b": ", b"\xff\xfe\r\n")))
        case 3:
            body = body.replace(b"\r\n", random.choice((b"\n", b"\r", b"", b"\r\n\r\n")))
        case 4:
            body = body.replace(b'name="model"', random.choice(NAMES))
        case 5:
            body = form(MODEL, b"")[: -len(b"--b--\r\n")] * random.choice((0, 2, 600)) + b"--b--\r\n"
        case 6:
            body = form({**MODEL, "x" * random.choice((0, 1, 10_000)): "y" * 100_000}, None)
        case _:
            body = mutated(random, body, most=60)
    return http(random.choice((TRANSCRIPTIONS, TRANSLATIONS)), content_type, body)


NO_JSON = ("NaN", "-Infinity", "1" * 5_000, "1e999", "[" * 100_000, '{"a":' * 50_000, '"', "null", "")


def broken_json(random: Random, file: bytes) -> bytes:
    """What json.loads refuses, or should."""
    path, good = some_json(random, file[:200])
    body, wrong = json.dumps(good).encode(), random.choice(NO_JSON).encode()
    match random.randrange(5):
        case 0:
            body = cut(random, body)
        case 1:
            body = mutated(random, body)
        case 2:
            body = wrong
        case 3:
            body = body.replace(b'"whisper-1"', wrong)
        case _:
            body = body[:-1] + b',"model":' + wrong + b"}"
    return http(path, random.choice(("application/json", "application/json; charset=utf-16")), body)


TEXTS = (
    *("\ud800", "\udfff\ud800", "\0", "\x1b[31m", "\u202e", "\ufeff", "\U0001f600" * 200, "\r\nX: y"),
    *("é" * 999, "a\u0301" * 50, "\uffff"),
)


def bad_unicode(random: Random, file: bytes) -> bytes:
    """Halves of surrogate pairs, control characters and bytes that are no UTF-8."""
    text = random.choice(TEXTS) + random.choice(TEXTS)
    if random.random() < 0.4:
        field = random.choice(("prompt", "language", "model", "response_format", "hotwords"))
        body = form({**ONCE, field: text}, file, name=random.choice(("a.wav", text)))
        return http(TRANSCRIPTIONS, FORM, body.replace(b"\xed", random.choice((b"\xed", b"\xff"))))
    path, good = some_json(random, file)
    good[random.choice(("prompt", "user", "model", "language"))] = text
    if path == CHAT:
        good["messages"][0]["content"] = text
        good["messages"][1]["content"][0]["text"] = text
    body = json.dumps(good, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    return http(path, "application/json", random.choice((b"", b"", b"\xef\xbb\xbf", b"\xff\xfe")) + body)


FIELDS = (
    *("model", "language", "prompt", "response_format", "temperature", "timestamp_granularities[]", "stream"),
    *("include[]", "chunking_strategy", "known_speaker_names[]", "known_speaker_references[]", "keywords"),
    *("beam_size", "best_of", "patience", "length_penalty", "suppress_tokens", "suppress_blank", "seed"),
    *("condition_on_previous_text", "carry_initial_prompt", "compression_ratio_threshold", "clip_timestamps"),
    *("logprob_threshold", "no_speech_threshold", "hallucination_silence_threshold", "max_line_width"),
    *("temperature_increment_on_fallback", "max_line_count", "max_words_per_line", "input_audio", "file"),
    *("messages", "modalities", "audio", "n", "stream_options"),
)
WORDS = (
    *(
        "0",
        "-1",
        "1",
        "2",
        "1.5",
        "1e999",
        "-1e-400",
        "nan",
        "inf",
        str(10**20),
        "-0",
        "0x10",
        "\u0663",
        "1_0",
    ),
    *(
        "true",
        "false",
        "null",
        "[]",
        "{}",
        "[1]",
        "[null]",
        '"x"',
        "en",
        "json",
        "srt",
        "0,1,2",
        "1,0",
        "auto",
    ),
    *("server_vad", '{"type":"server_vad"}', "word", "segment", "data:audio/wav;base64,"),
)


def wrong_field(random: Random, file: bytes) -> bytes:
    """Form fields with each other's values."""
    fields = {random.choice(FIELDS): random.choice(WORDS) for _ in range(random.randint(1, 4))}
    audio = random.choice((file, b"", b"RIFF", file[:60]))
    return http(random.choice((TRANSCRIPTIONS, TRANSLATIONS)), FORM, form({**ONCE, **fields}, audio))


VALUES = (None, True, 0, -1, 1.5, 1e308, 10**40, "", "x", "\0", [], [[]], [None], {}, {"type": "text"})


def wrong_type(random: Random, file: bytes) -> bytes:
    """JSON with a value of another type somewhere."""
    path, good = some_json(random, file[:100])
    for _ in range(random.randint(1, 2)):
        replace_somewhere(random, good)
    return http(path, "application/json", json.dumps(good).encode())


def replace_somewhere(random: Random, value: Any) -> None:
    """Put a value of any type at a random place of a JSON object or array, or a key that is new there."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = random.choice([*keys, *(FIELDS if isinstance(value, dict) else ())])
    inner = value[key] if key in keys else None
    if isinstance(inner, dict | list) and inner and random.random() < 0.7:
        replace_somewhere(random, inner)
    else:
        value[key] = random.choice(VALUES)


def random_audio(random: Random, file: bytes) -> bytes:
    """Noise where audio should be, sometimes behind the first bytes of a real file."""
    real = file[: random.choice((0, 0, 4, 12, 44, 200))]
    return upload(random, real + random.randbytes(random.choice((0, 1, 99, 5_000))))


def mutated_audio(random: Random, file: bytes) -> bytes:
    """A real file that is cut off or has a few wrong bytes, often in its header."""
    if random.random() < 0.2:
        return upload(random, cut(random, file))
    head = random.choice((40, 200, len(file)))
    return upload(random, mutated(random, file[:head]) + file[head:])


ONCE = {**MODEL, "language": "en", "temperature_increment_on_fallback": "0"}
"""What comes of a broken recording is gibberish, which openai-whisper would decode six times."""


def upload(random: Random, audio: bytes) -> bytes:
    """Audio in any of the ways in which it comes."""
    data = base64.b64encode(audio).decode()
    match random.randrange(4):
        case 0:
            return http(CHAT, "application/json", json.dumps(chat(data)).encode())
        case 1:
            body = {**ONCE, "input_audio": {"data": data + random.choice(("", "", "=", "*"))}}
            body["temperature_increment_on_fallback"] = 0
            return http(TRANSCRIPTIONS, "application/json", json.dumps(body).encode())
        case 2:
            return http(TRANSCRIPTIONS, FORM, form({**ONCE, "stream": "true"}, audio))
        case _:
            fields = {**ONCE, "response_format": random.choice(("json", "srt", "verbose_json"))}
            return http(random.choice((TRANSCRIPTIONS, TRANSLATIONS)), FORM, form(fields, audio))


Make = Callable[[Random, bytes], bytes]

IN_GOOD_HTTP: tuple[Make, ...] = (
    *(broken_form, broken_json, bad_unicode, wrong_field, wrong_type, random_audio, mutated_audio),
)
IN_BAD_HTTP: tuple[Make, ...] = (mutated_headers, mutated_chunks, mutated_http, noise)
"""After these nobody knows where the next request would begin."""

KINDS = {make.__name__: make for make in (*IN_GOOD_HTTP, *IN_BAD_HTTP)}
UNFRAMED = {make.__name__ for make in IN_BAD_HTTP}
