"""A decoder process in the hands of a hostile file may say anything; its worker believes nothing."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.errors import AudioTooLong, AudioTooShort
from app.waveform.audio_decoder import AudioDecoder, AudioDecoderLost
from app.waveform.audio_limits import AudioLimits
from app.waveform.audio_refusals import RefusalCode, audio_error
from app.waveform.descriptors import memory_file

HOSTILE = """#!{python} -SI
import os, socket, sys
with socket.socket(fileno=int(sys.argv[3])) as worker:
    worker.send(b"ready")
    _, (_, output), _, _ = socket.recv_fds(worker, 1000, 2)
    os.write(output, bytes({size}))
    if {reply!r} is not None:
        worker.send({reply!r})
    worker.recv(1)
"""

StartHostile = Callable[[bytes | None, int], AudioDecoder]


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StartHostile]:
    started: list[AudioDecoder] = []

    def start(reply: bytes | None, size: int) -> AudioDecoder:
        program = tmp_path / "hostile"
        program.write_text(HOSTILE.format(python=sys.executable, reply=reply, size=size))
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))
        started.append(AudioDecoder(1, 1 << 30))
        started[-1].await_ready()
        return started[-1]

    yield start
    for decoder in started:
        decoder.close()
        assert not decoder.alive


def read(decoder: AudioDecoder, *, by_channel: bool = True) -> tuple[int, int]:
    with memory_file("upload") as upload, memory_file("samples") as output:
        return decoder.read(upload, output, AudioLimits(), by_channel=by_channel, check=lambda: None)


def reply_of(**answer: object) -> bytes:
    return json.dumps(answer).encode()


def test_what_fits_is_believed(hostile: StartHostile) -> None:
    assert read(hostile(reply_of(channels=2, samples=1_600), 6_400)) == (2, 1_600)


@pytest.mark.parametrize(
    ("reply", "size"),
    [
        (reply_of(channels=1, samples=10**12), 3_200),
        (reply_of(channels=1, samples=1_600), 3_199),
        (reply_of(channels=1, samples=1_600), 3_201),
        (reply_of(channels=0, samples=0), 0),
        (reply_of(channels=1, samples=0), 0),
        (reply_of(channels=-1, samples=-1_600), 3_200),
        (reply_of(channels=17, samples=1_600), 17 * 3_200),
        (reply_of(channels=1, samples=100_000), 200_000),
        (reply_of(channels="1", samples="x"), 3_200),
        (reply_of(channels=float("inf"), samples=1), 3_200),
        (reply_of(channels=1), 3_200),
        (reply_of(refused="SystemExit", number=0), 0),
        (reply_of(refused="AudioTooShort", message="0", number=0), 0),
        (reply_of(refused=["too_short"], number=0), 0),
        (reply_of(refused="too_short"), 0),
        (reply_of(refused="sample_rate", number="0"), 0),
        (reply_of(refused="sample_rate", number=None), 0),
        (reply_of(refused="sample_rate", number=float("nan")), 0),
        (reply_of(refused="channels", number=float("inf")), 0),
        (reply_of(refused="channels", number=10**400), 0),
        (reply_of(refused="declared_too_long", number=[1]), 0),
        (b"[1, 1600]", 3_200),
        (b"9" * 9_000, 0),
        (b"[" * 60_000, 0),
        (b"\xff\xfe", 0),
        (b"ready", 0),
    ],
    ids=str,
)
def test_nonsense(hostile: StartHostile, reply: bytes, size: int) -> None:
    with pytest.raises(AudioDecoderLost):
        read(hostile(reply, size))


def test_channels_that_nobody_asked_for(hostile: StartHostile) -> None:
    with pytest.raises(AudioDecoderLost):
        read(hostile(reply_of(channels=2, samples=1_600), 6_400), by_channel=False)


def test_a_refusal_is_about_the_file(hostile: StartHostile) -> None:
    reply = reply_of(refused="too_short", number=0, message="so short", param="model", status=200)
    with pytest.raises(AudioTooShort, match=r"^Audio file is too short\.") as caught:
        read(hostile(reply, 0))
    assert (caught.value.param, caught.value.status) == ("file", 400)


def test_a_refusal_is_worded_by_the_limits_that_the_worker_knows(hostile: StartHostile) -> None:
    reply = reply_of(refused="declared_too_long", number=15_000.04, why="which is none of your business.")
    with pytest.raises(AudioTooLong) as caught:
        read(hostile(reply, 0))
    assert caught.value.message == (
        "Audio duration 15000.0 seconds is longer than 14400 seconds, "
        "which is the maximum for this server (WHISPER_MAX_AUDIO_SECONDS)."
    )


def test_one_that_only_hangs_up_is_lost_by_its_file(hostile: StartHostile) -> None:
    decoder = hostile(b"", 0)  # an empty message looks like the end
    with pytest.raises(AudioDecoderLost, match="closed its connection") as caught:
        read(decoder)
    assert caught.value.by_file


def test_one_that_was_not_there_to_take_the_file(hostile: StartHostile) -> None:
    decoder = hostile(b"", 0)
    decoder.kill()
    with pytest.raises(AudioDecoderLost, match="was ended by signal 9") as caught:
        read(decoder)
    assert not caught.value.by_file


def test_one_that_is_stopped_is_noticed(hostile: StartHostile) -> None:
    decoder = hostile(reply_of(channels=2, samples=1_600), 6_400)
    assert not decoder.stopped
    os.kill(decoder.pid, signal.SIGSTOP)
    with pytest.raises(AudioDecoderLost, match="was stopped") as caught:
        read(decoder)
    assert not caught.value.by_file
    assert decoder.alive
    assert decoder.stopped


def test_one_that_has_ended_is_not_stopped(hostile: StartHostile) -> None:
    decoder = hostile(b"", 0)
    decoder.kill()
    assert not decoder.stopped


def test_one_that_never_answers_ends_at_the_files_time_limit(
    hostile: StartHostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.waveform.audio_decoder.GRACE_SECONDS", 0.1)
    decoder = hostile(None, 0)
    limits = AudioLimits(read_seconds=0.1)
    with (
        memory_file("upload") as upload,
        memory_file("samples") as output,
        pytest.raises(AudioDecoderLost, match="did not answer") as caught,
    ):
        decoder.read(upload, output, limits, by_channel=True, check=lambda: None)
    assert caught.value.by_file
    assert caught.value.refusal.message == audio_error(RefusalCode.TOO_SLOW, limits).message
