"""The flagship sample in the containers and codecs that people have, through the front door.

Where a codec keeps less of the speech than the demo model was made for, the text is compared with
what openai-whisper makes of the very same file.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import requests
import torch
import whisper

from app.checkpoints import DEMO_PATH
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT, convert, convert_to_pipe
from tests.openai_spec import check_response

WITH_VIDEO = ("-f", "lavfi", "-i", "testsrc=size=64x64:rate=5", "-shortest", "-pix_fmt", "yuv420p")
TWO_TRACKS = ("-f", "lavfi", "-i", "sine=frequency=440", "-map", "0:a", "-map", "1:a", "-shortest")

EXACT = {
    "24 bit.wav": ("-c:a", "pcm_s24le"),
    "float.wav": ("-c:a", "pcm_f32le"),
    "stereo.wav": ("-ac", "2"),
    "surround.wav": ("-ac", "6"),
    "48 kHz.wav": ("-ar", "48000"),
    "lossless.flac": (),
    "surround.flac": ("-ac", "6"),
    "lossless.aiff": (),
    "lossless.caf": (),
    "lossless.au": (),
    "alac.m4a": ("-c:a", "alac"),
    "alac.mov": (*WITH_VIDEO, "-c:v", "mpeg4", "-c:a", "alac"),
    "pcm.mkv": (*WITH_VIDEO, "-c:v", "libx264", "-c:a", "pcm_s16le"),
    "high bitrate.mp3": ("-b:a", "160k"),
    "high bitrate.mpga": ("-b:a", "160k", "-f", "mp3"),
    "high bitrate.aac": ("-b:a", "160k"),
    "high bitrate.m4a": ("-b:a", "160k"),
    "moov first.m4a": ("-b:a", "160k", "-movflags", "+faststart"),
    "video.mp4": (*WITH_VIDEO, "-c:v", "libx264", "-c:a", "aac", "-b:a", "160k"),
    "opus.webm": ("-c:a", "libopus", "-b:a", "128k"),
    "video.webm": (*WITH_VIDEO, "-c:v", "libvpx", "-c:a", "libvorbis", "-q:a", "8"),
    "vorbis.ogg": ("-c:a", "libvorbis", "-q:a", "8"),
    "opus.oga": ("-c:a", "libopus", "-b:a", "128k", "-f", "ogg"),
}
"""File -> ffmpeg's options; the codec keeps enough for the text to be the sample's."""

NARROW = {
    "8 kHz.wav": ("-ar", "8000"),
    "mulaw.wav": ("-ar", "8000", "-c:a", "pcm_mulaw"),
    "adpcm.wav": ("-c:a", "adpcm_ima_wav"),
    "low bitrate.mp3": ("-ar", "16000", "-b:a", "24k"),
    "low bitrate.ogg": ("-c:a", "libopus", "-b:a", "12k"),
    "program stream.mpeg": (*WITH_VIDEO, "-c:v", "mpeg2video", "-r", "25", "-c:a", "mp2", "-f", "vob"),
    "transport stream.ts": ("-c:a", "aac", "-f", "mpegts"),
    "windows.wma": ("-c:a", "wmav2"),
    "two tracks.mkv": (*TWO_TRACKS, "-c:a", "flac"),
}

STREAMED = {
    "recorder.webm": ("-c:a", "libopus", "-f", "webm", "-live", "1"),
    "endless.wav": ("-f", "wav"),
    "fragments.mp4": ("-c:a", "aac", "-f", "mp4", "-movflags", "frag_keyframe+empty_moov"),
}
"""Written to a pipe, so the header tells no length."""


@pytest.fixture(scope="module")
def model() -> Iterator[whisper.Whisper]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the server computes beside it
    yield whisper.load_model(str(DEMO_PATH), device="cpu")
    torch.set_num_threads(threads)


def transcribe(server: GunicornServer, path: Path) -> str:
    with path.open("rb") as file:
        answer = requests.post(
            f"{server.url}/v1/audio/transcriptions",
            headers={"Connection": "close"},
            data={"model": "whisper-1"},
            files={"file": file},
            hooks={"response": check_response},
            timeout=PATIENCE_SECONDS,
        )
    assert answer.status_code == 200, answer.text
    return answer.json()["text"]


@pytest.mark.parametrize("name", EXACT)
def test_text_is_the_samples(server: GunicornServer, tmp_path: Path, name: str) -> None:
    assert transcribe(server, convert(FLAGSHIP, tmp_path / name, *EXACT[name])) == FLAGSHIP_TEXT


@pytest.mark.parametrize("name", NARROW)
def test_text_is_openai_whispers(
    server: GunicornServer, model: whisper.Whisper, tmp_path: Path, name: str
) -> None:
    path = convert(FLAGSHIP, tmp_path / name, *NARROW[name])
    assert transcribe(server, path) == by_openai_whisper(model, path)


@pytest.mark.parametrize("name", STREAMED)
def test_header_without_length(server: GunicornServer, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(convert_to_pipe(FLAGSHIP, *STREAMED[name]))
    assert transcribe(server, path) == FLAGSHIP_TEXT


def test_telephone_recording(server: GunicornServer, model: whisper.Whisper, tmp_path: Path) -> None:
    path = narrowband(FLAGSHIP, tmp_path / "call.amr")
    assert transcribe(server, path) == by_openai_whisper(model, path)


def by_openai_whisper(model: whisper.Whisper, path: Path) -> str:
    text: str = model.transcribe(str(path), fp16=False)["text"].strip()
    assert text, "there is nothing to compare"
    return text


def narrowband(source: Path, target: Path) -> Path:
    """AMR by PyAV, since few ffmpegs can encode it."""
    with av.open(str(source)) as recording, av.open(str(target), "w") as call:
        track = call.add_stream("libopencore_amrnb", rate=8_000, layout="mono")
        for frame in recording.decode(audio=0):
            call.mux(track.encode(frame))
        call.mux(track.encode(None))
    return target
