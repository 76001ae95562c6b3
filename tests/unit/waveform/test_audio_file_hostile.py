"""What somebody may send who means harm, or a file that was never audio."""

import ctypes
import io
import os
import socket
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from app.errors import AudioTooLong, UndecodableAudio
from app.waveform.audio_file import read_audio, read_audio_channels
from app.waveform.audio_limits import AudioLimits
from app.waveform.audio_refusals import UNDECODABLE

LIMITS = AudioLimits()
IN_OPEN, IN_NONBLOCK = 0x20, 0o4000


@contextmanager
def watched(path: Path) -> Iterator[list[bool]]:
    """Tells, afterwards, whether anything in any process opened the file (the kernel's inotify)."""
    libc = ctypes.CDLL(None, use_errno=True)
    watcher = libc.inotify_init1(IN_NONBLOCK)
    assert libc.inotify_add_watch(watcher, os.fsencode(path), IN_OPEN) >= 0
    opened: list[bool] = []
    try:
        yield opened
        try:
            opened.append(bool(os.read(watcher, 4_096)))
        except BlockingIOError:
            opened.append(False)
    finally:
        os.close(watcher)


class Listener:
    """A server that counts who knocks."""

    def __init__(self) -> None:
        self.hits = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if connection.recv(64).startswith(b"stop"):
                    return
                self.hits += 1

    def close(self) -> None:
        """All connections made before are counted once this returns: they are taken in order."""
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"stop")
        self._thread.join()
        self._socket.close()


@pytest.fixture(scope="module")
def secret(speech, ffmpeg, tmp_path_factory) -> Path:
    """A recording on the server that no upload may reach."""
    path = tmp_path_factory.mktemp("private") / "secret.mp3"
    ffmpeg("-i", speech, path)
    return path


M3U8 = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n"
REFERENCES = {
    "m3u8": M3U8,
    "m3u8_key": M3U8.replace("#EXTINF", '#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF', 1),
    "ffconcat": "ffconcat version 1.0\nfile '{target}'\n",
    "concat": "file '{target}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=audio 5004 RTP/AVP 0\na=control:{target}\n",
    "mpd": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{target}</BaseURL></MPD>',
    "pls": "[playlist]\nFile1={target}\nNumberOfEntries=1\n",
    "asx": '<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
    "url": "{target}",
    "imf": '<AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"><Path>{target}</Path></AssetMap>',
}


@pytest.mark.parametrize("scheme", ["", "file:", "file://", "concat:", "subfile,,start,0,end,0,,:"])
@pytest.mark.parametrize("kind", REFERENCES)
def test_an_upload_can_not_name_a_file_of_the_server(kind, scheme, secret, tmp_path):
    upload = tmp_path / f"upload.{kind}"
    upload.write_text(REFERENCES[kind].format(target=f"{scheme}{secret}"))
    with watched(secret) as opened, upload.open("rb") as file, pytest.raises(UndecodableAudio):
        read_audio(file, LIMITS)
    assert opened == [False]


def test_an_upload_can_not_name_its_neighbour(secret):
    upload = secret.with_name("upload.m3u8")
    upload.write_text(M3U8.format(target=secret.name))
    with watched(secret) as opened, upload.open("rb") as file, pytest.raises(UndecodableAudio):
        read_audio(file, LIMITS)
    assert opened == [False]


def test_ffmpeg_left_alone_would_have_read_it(secret, tmp_path):
    """The tests above can fail: this is what they guard against."""
    upload = tmp_path / "list.ffconcat"
    upload.write_text(REFERENCES["ffconcat"].format(target=secret.name))
    upload = upload.rename(secret.with_name(upload.name))
    with watched(secret) as opened, av.open(str(upload)) as container:
        assert next(container.decode(audio=0)).samples
    assert opened == [True]


@pytest.mark.parametrize("scheme", ["http", "https", "tcp", "rtmp", "ftp", "hls+http", "async:http"])
@pytest.mark.parametrize("kind", REFERENCES)
def test_an_upload_can_not_make_the_server_call_out(kind, scheme, tmp_path):
    listener = Listener()
    upload = tmp_path / f"upload.{kind}"
    upload.write_text(REFERENCES[kind].format(target=f"{scheme}://127.0.0.1:{listener.port}/a.mp3"))
    try:
        with upload.open("rb") as file, pytest.raises(UndecodableAudio):
            read_audio(file, LIMITS)
    finally:
        listener.close()
    assert listener.hits == 0


def test_ffmpeg_left_alone_would_have_called_out(tmp_path):
    """The tests above can fail: this is what they guard against."""
    listener = Listener()
    upload = tmp_path / "upload.m3u8"
    upload.write_text(M3U8.format(target=f"http://127.0.0.1:{listener.port}/a.ts"))
    try:
        with upload.open("rb") as file, pytest.raises(av.error.FFmpegError):
            av.open(file)
    finally:
        listener.close()
    assert listener.hits > 0


NOT_AUDIO = {
    "text": b"Hello, this is a letter.\n" * 100,
    "json": b'{"model": "whisper-1"}',
    "html": b"<!doctype html><html><body>502 Bad Gateway</body></html>",
    "zeros": bytes(50_000),
    "one_byte": b"R",
    "riff": b"RIFF\x00\x00\x00\x00WAVE",
    "zip": b"PK\x03\x04" + bytes(500),
    "pdf": b"%PDF-1.7\n" + b"1 0 obj\n" * 50,
    "subtitles": b"1\n00:00:00,000 --> 00:00:02,000\nHello\n\n" * 20,
    "id3_only": b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(10),
    "flac_header": b"fLaC\x00\x00\x00\x22" + bytes(34),
    "ogg_header": b"OggS\x00\x02" + bytes(40),
    "mp4_header": b"\x00\x00\x00\x18ftypisom" + bytes(12),
}


@pytest.mark.parametrize("name", NOT_AUDIO)
@pytest.mark.parametrize("reader", [read_audio, read_audio_channels])
def test_what_is_no_audio(name, reader):
    with pytest.raises(UndecodableAudio) as caught:
        reader(io.BytesIO(NOT_AUDIO[name]), LIMITS)
    assert caught.value.message == UNDECODABLE
    assert caught.value.param == "file"
    assert (caught.value.status, caught.value.code) == (400, "invalid_value")


@pytest.mark.parametrize("name", ["picture.png", "picture.jpg", "picture.gif", "film.avi"])
def test_containers_that_are_not_read(name, ffmpeg, tmp_path):
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:duration=0.1", "-frames:v", "1", tmp_path / name)
    with (tmp_path / name).open("rb") as file, pytest.raises(UndecodableAudio):
        read_audio(file, LIMITS)


@pytest.mark.parametrize("name", ["silent.mp4", "silent.webm", "silent.mkv"])
def test_a_film_without_sound(name, ffmpeg, tmp_path):
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:duration=1", tmp_path / name)
    with (tmp_path / name).open("rb") as file, pytest.raises(UndecodableAudio, match="no audio track"):
        read_audio(file, LIMITS)


def test_an_m4a_cut_before_its_index(ffmpeg, speech, tmp_path):
    path = tmp_path / "cut.m4a"
    ffmpeg("-i", speech, path)
    os.truncate(path, path.stat().st_size // 2)
    with path.open("rb") as file, pytest.raises(UndecodableAudio) as caught:
        read_audio(file, LIMITS)
    assert isinstance(caught.value.__cause__, av.error.FFmpegError)


@pytest.mark.parametrize(("suffix", "codec"), [("ogg", "libvorbis"), ("mka", "flac")])
def test_a_good_header_before_nothing_but_damage(suffix, codec, ffmpeg, speech, tmp_path):
    path = tmp_path / f"damaged.{suffix}"
    ffmpeg("-i", speech, "-c:a", codec, path)
    data = bytearray(path.read_bytes())
    data[3_000:-3_000] = b"\xff" * len(data[3_000:-3_000])
    with pytest.raises(UndecodableAudio) as caught:
        read_audio(io.BytesIO(data), LIMITS)
    assert isinstance(caught.value.__cause__, av.error.FFmpegError)


@pytest.mark.parametrize("codec_id", [b"A_XXXX", b"A_OPUS", b"A_MPEG"])
def test_a_codec_that_nobody_knows(codec_id, ffmpeg, speech, tmp_path):
    path = tmp_path / "strange.mka"
    ffmpeg("-i", speech, "-c:a", "flac", path)
    strange = path.read_bytes().replace(b"A_FLAC", codec_id)
    with pytest.raises(UndecodableAudio):
        read_audio(io.BytesIO(strange), LIMITS)


def wav(*, rate: int = 16_000, channels: int = 1, seconds: float = 1) -> io.BytesIO:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, 2, rate, 0, "NONE", ""))
        writer.writeframes(bytes(min(200_000, int(2 * channels * rate * seconds))))
    return file


@pytest.mark.parametrize("rate", [1, 3_999, 384_001, 2_000_000_000])
def test_sample_rates_that_are_not_taken(rate):
    with pytest.raises(UndecodableAudio, match=rf"Sample rate {rate} Hz .* 4000 to 384000") as caught:
        read_audio(wav(rate=rate, seconds=3_600), LIMITS)
    assert caught.value.param == "file"


@pytest.mark.parametrize("rate", [4_000, 384_000])
def test_sample_rates_at_the_border(rate):
    assert abs(len(read_audio(wav(rate=rate, seconds=0.25), LIMITS)) - 4_000) <= 1


@pytest.mark.parametrize("channels", [17, 24, 64, 1_000, 32_000])
def test_too_many_channels(channels):
    with pytest.raises(UndecodableAudio) as caught:
        read_audio(wav(channels=channels), LIMITS)
    assert caught.value.param == "file"


def test_no_channels():
    header = bytearray(wav().getvalue())
    header[22:24] = b"\0\0"
    with pytest.raises(UndecodableAudio):
        read_audio(io.BytesIO(header), LIMITS)


@pytest.fixture(scope="module")
def ten_hours(ffmpeg) -> bytes:
    """Silence in a few kilobytes of FLAC; its header tells the length."""
    options = ["-t", "36000", "-c:a", "flac", "-frame_size", "65535", "-f", "flac"]
    path_free = ffmpeg("-f", "lavfi", "-i", "anullsrc=r=4000:cl=mono", *options, "pipe:1")
    return claiming(path_free, 36_000 * 4_000)


def claiming(flac: bytes, samples: int) -> bytes:
    """The same FLAC with another number of samples in its header (36 bits; 0: unknown)."""
    header = bytearray(flac)
    header[21] = header[21] & 0xF0 | samples >> 32
    header[22:26] = (samples & 0xFFFF_FFFF).to_bytes(4, "big")
    return bytes(header)


def test_a_declared_length_over_the_limit_is_refused_at_once(ten_hours):
    assert len(ten_hours) < 200_000
    with pytest.raises(AudioTooLong) as caught:
        read_audio(io.BytesIO(ten_hours), LIMITS)
    assert caught.value.message == (
        "Audio duration 36000.0 seconds is longer than 14400 seconds, "
        "which is the maximum for this server (WHISPER_MAX_AUDIO_SECONDS)."
    )
    assert (caught.value.param, caught.value.status) == ("file", 400)


@pytest.mark.parametrize("claimed", [0, 8_000], ids=["unknown", "lying"])
@pytest.mark.parametrize("reader", [read_audio, read_audio_channels])
def test_a_length_that_is_not_declared_is_counted(claimed, reader, ten_hours):
    with pytest.raises(AudioTooLong, match=r"is longer than 600 seconds.*WHISPER_MAX_AUDIO_SECONDS"):
        reader(io.BytesIO(claiming(ten_hours, claimed)), AudioLimits(max_seconds=600))


def test_a_recorder_stream_without_a_length_is_counted(ffmpeg):
    recorded = ["-t", "120", "-c:a", "libopus", "-f", "webm", "pipe:1"]
    webm = ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", *recorded)
    with pytest.raises(AudioTooLong, match="longer than 60 seconds"):
        read_audio(io.BytesIO(webm), AudioLimits(max_seconds=60))


def test_an_adts_stream_that_begins_in_silence_is_not_taken_for_a_long_one(ffmpeg, speech):
    filters = ["-filter_complex", "[0][1]concat=n=2:v=0:a=1", "-c:a", "aac", "-b:a", "128k"]
    aac = ffmpeg("-f", "lavfi", "-i", "anullsrc=r=44100:d=8", "-i", speech, *filters, "-f", "adts", "pipe:1")
    assert 8 * 16_000 < len(read_audio(io.BytesIO(aac), AudioLimits(max_seconds=30))) < 30 * 16_000


def test_the_limit_itself_is_allowed():
    limits = AudioLimits(max_seconds=1)
    assert len(read_audio(wav(seconds=1), limits)) == 16_000
    with pytest.raises(AudioTooLong):
        read_audio(wav(seconds=1.01), limits)


@pytest.mark.parametrize(("channels", "most"), [(1, 2.0), (2, 2.0), (4, 1.0), (16, 0.25)])
def test_more_channels_apart_may_last_less_long(channels, most):
    limits = AudioLimits(max_seconds=2)
    assert read_audio_channels(wav(channels=channels, rate=8_000, seconds=most), limits).shape[0] == channels
    with pytest.raises(AudioTooLong):
        read_audio_channels(wav(channels=channels, rate=8_000, seconds=most * 1.1), limits)


@pytest.mark.parametrize("read_seconds", [1e-9, 0.1])
def test_decoding_ends_at_its_deadline(read_seconds, ten_hours):
    limits = AudioLimits(max_seconds=1e9, read_seconds=read_seconds)
    begin = time.process_time()
    with pytest.raises(AudioTooLong, match=rf"than {read_seconds:g} seconds.*WHISPER_DECODE_SECONDS"):
        read_audio(io.BytesIO(ten_hours), limits)
    assert time.process_time() - begin < 2  # of this process, so others don't count


def test_searching_for_a_format_ends_at_the_deadline():
    class Slow(Counted):
        def read(self, size: int | None = -1) -> bytes:
            time.sleep(0.05)
            return super().read(min(size or 1, 512))

    slow = Slow(b"\x47" + bytes(187) * 20_000)
    with pytest.raises(AudioTooLong, match="WHISPER_DECODE_SECONDS"):
        read_audio(slow, AudioLimits(read_seconds=0.2))
    assert 0 < slow.bytes <= 8 * 512


class Counted(io.BytesIO):
    """Counts the bytes read, and how often it was searched."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.bytes = self.seeks = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.seeks += 1
        return super().seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        self.bytes += len(chunk)
        return chunk


def chunks(size: int, count: int) -> bytes:
    """Of a WAV file, that nobody has a use for."""
    return (b"JUNK" + size.to_bytes(4, "little") + bytes(size)) * count


SPOKEN = wav(seconds=3).getvalue()[:44] + np.random.default_rng(0).integers(-9, 9, 48_000, "<i2").tobytes()


@pytest.mark.parametrize("tail", [bytes(20 << 20), chunks(0, 2 << 20), chunks(16, 1 << 20)], ids=len)
def test_the_search_for_chunks_behind_the_sound_ends(tail):
    file = Counted(SPOKEN + tail)
    samples = read_audio(file, LIMITS)
    np.testing.assert_array_equal(samples, read_audio(io.BytesIO(SPOKEN), LIMITS))
    assert file.seeks < 500_000
    assert file.bytes < len(SPOKEN) + (4 << 20)


@pytest.mark.parametrize(
    "tail", [bytes(1), bytes(4_096), bytes(100_000), chunks(40, 2_000), chunks(1 << 20, 20)], ids=len
)
def test_filling_and_chunks_behind_the_sound_are_no_matter(tail):
    samples = read_audio(io.BytesIO(SPOKEN + tail), LIMITS)
    np.testing.assert_array_equal(samples, read_audio(io.BytesIO(SPOKEN), LIMITS))


@pytest.mark.parametrize("before", [chunks(40, 2_000), chunks(1 << 20, 20), chunks(2, 5_000)], ids=len)
def test_chunks_before_the_sound_are_no_matter(before):
    file = SPOKEN[:36] + before + SPOKEN[36:]
    np.testing.assert_array_equal(
        read_audio(io.BytesIO(file), LIMITS), read_audio(io.BytesIO(SPOKEN), LIMITS)
    )


@pytest.mark.slow
def test_an_mp4_in_many_fragments_is_no_search(ffmpeg, tmp_path, monkeypatch):
    """It is searched most of all that people send: a fragment for every frame."""
    options = ["-c:a", "aac", "-movflags", "dash+frag_every_frame+empty_moov"]
    path = tmp_path / "many.mp4"
    ffmpeg("-f", "lavfi", "-i", "anoisesrc=d=300:a=0.1:r=16000", *options, path)
    file = Counted(path.read_bytes())
    samples = read_audio(file, LIMITS)
    assert file.seeks > 50_000
    monkeypatch.setattr("app.waveform.audio_file.MAX_SEARCHES", 0)
    np.testing.assert_array_equal(read_audio(io.BytesIO(file.getvalue()), LIMITS), samples)
    assert len(samples) > 299 * 16_000
