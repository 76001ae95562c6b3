import io
import os
import shlex
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from whisper.audio import load_audio

from app.errors import AudioTooShort, UndecodableAudio
from app.waveform import STEP
from app.waveform.audio_file import read_audio, read_audio_channels
from app.waveform.audio_limits import AudioLimits

LIMITS = AudioLimits()
TWO_ROUNDINGS = 2e-4
"""ffmpeg's versions differ by up to four steps of 16 bits."""

STEREO = "-af pan=stereo|c0=c0|c1=0.3*c0 -ar 44100"
SURROUND = "-af pan=5.1|c0=c0|c1=0.5*c0|c2=0.2*c0|c3=0.1*c0|c4=0.4*c0|c5=0.3*c0"
VIDEO = "-f lavfi -i testsrc=size=64x64:rate=10:duration=2"
COVER = "-f lavfi -i color=size=64x64:duration=0.1 -map 0:a -map 1:v -c:v mjpeg -disposition:v attached_pic"

RECIPES = {
    "pcm_u8.wav": "-c:a pcm_u8",
    "pcm_s16.wav": "",
    "pcm_s24.wav": "-c:a pcm_s24le",
    "pcm_s32.wav": "-c:a pcm_s32le",
    "float32.wav": "-c:a pcm_f32le",
    "float64.wav": "-c:a pcm_f64le",
    "mulaw.wav": "-c:a pcm_mulaw -ar 8000",
    "alaw.wav": "-c:a pcm_alaw -ar 8000",
    "adpcm.wav": "-c:a adpcm_ms",
    "rate_8000.wav": "-ar 8000",
    "rate_16000.wav": "-ar 16000",
    "rate_96000.wav": "-ar 96000 -c:a pcm_s24le",
    "stereo.wav": STEREO,
    "surround.wav": SURROUND,
    "eight_channels.wav": "-af pan=7.1|c0=c0|c1=0.5*c0|c2=0.2*c0|c3=0.1*c0|c4=0.4*c0|c5=0.3*c0|c6=c0|c7=c0",
    "sony.w64": "-f w64",
    "rf64.wav": "-rf64 always",
    "plain.mp3": "-c:a libmp3lame",
    "stereo_variable.mp3": f"{STEREO} -c:a libmp3lame -q:a 4",
    "no_xing.mp3": "-c:a libmp3lame -write_xing 0",
    "cover.mp3": f"{COVER} -c:a libmp3lame -id3v2_version 3 -metadata title=Take",
    "layer_two.mp2": "-c:a mp2 -ar 44100",
    "plain.m4a": "-c:a aac",
    "faststart.m4a": "-c:a aac -movflags +faststart",
    "fragmented.mp4": "-c:a aac -movflags frag_keyframe+empty_moov",
    "lossless.m4a": "-c:a alac",
    "mobile.3gp": "-c:a aac -ar 16000",
    "pcm.mov": "-c:a pcm_s16be",
    "video.mp4": f"{VIDEO} -map 1:v -map 0:a -c:v mpeg4 -c:a aac",
    "two_tracks.mp4": f"{STEREO} -map 0:a -map 0:a -c:a aac -b:a:1 32k",
    "video.mkv": f"{VIDEO} -map 1:v -map 0:a -c:v mpeg4 -c:a aac",
    "video.avi.mkv": f"{VIDEO} -map 1:v -map 0:a -c:v mjpeg -c:a ac3",
    "sound.mka": "-c:a flac",
    "opus.webm": "-c:a libopus -ar 48000",
    "vorbis.webm": "-c:a libvorbis",
    "video.webm": f"{VIDEO} -map 1:v -map 0:a -c:v libvpx -c:a libopus -ar 48000",
    "opus.ogg": "-c:a libopus -b:a 24k",
    "stereo_opus.ogg": f"{STEREO} -ar 48000 -c:a libopus",
    "vorbis.ogg": "-c:a libvorbis",
    "flac.ogg": "-c:a flac",
    "plain.flac": "-c:a flac",
    "nothing_to_convert.flac": "-c:a flac -ar 16000 -sample_fmt s16",
    "nothing_to_convert.caf": "-c:a pcm_s16le -ar 16000",
    "surround.flac": f"{SURROUND} -c:a flac",
    "adts.aac": "-c:a aac",
    "plain.aiff": "",
    "plain.caf": "-c:a pcm_s16le",
    "plain.au": "",
    "program.mpg": f"{VIDEO} -map 1:v -map 0:a -c:v mpeg1video -r 25 -c:a mp2 -ar 44100 -f vob",
    "transport.ts": "-c:a aac",
    "windows.wma": "-c:a wmav2",
    "windows.asf": "-c:a wmav1",
}
PIPED = {
    "recorder.webm": "-c:a libopus -ar 48000 -f webm",
    "recorder.mp4": "-c:a aac -f mp4 -movflags empty_moov+default_base_moof",
}


def assert_as_openai_whisper(path: Path) -> None:
    expected = load_audio(str(path))
    with path.open("rb") as file:
        samples = read_audio(file, LIMITS)
    assert samples.dtype == np.int16
    samples = samples * STEP
    assert samples.shape == expected.shape
    assert np.abs(samples).max() > 0.05
    np.testing.assert_allclose(samples, expected, rtol=0, atol=TWO_ROUNDINGS)


@pytest.mark.parametrize("name", RECIPES)
def test_every_format_gives_the_samples_of_openai_whisper(name, ffmpeg, speech, tmp_path):
    inputs, outputs = _split(RECIPES[name])
    ffmpeg("-i", speech, *inputs, *outputs, tmp_path / name)
    assert_as_openai_whisper(tmp_path / name)


def _split(recipe: str) -> tuple[list[str], list[str]]:
    """A recipe's further inputs and its output options."""
    words = shlex.split(recipe)
    after = words.index("-i") + 2 if "-i" in words else 0
    return words[:after], words[after:]


@pytest.mark.parametrize("name", PIPED)
def test_recordings_without_a_length(name, ffmpeg, speech, tmp_path):
    path = tmp_path / name
    path.write_bytes(ffmpeg("-i", speech, *PIPED[name].split(), "pipe:1"))
    assert_as_openai_whisper(path)


@pytest.mark.parametrize("length", [0, 0x7000_0000, 0xFFFF_FFFF], ids=hex)
def test_streamed_wav_whose_header_does_not_know_its_length(length, speech, tmp_path):
    wav = bytearray(speech.read_bytes())
    at = wav.index(b"data") + 4
    wav[at : at + 4] = length.to_bytes(4, "little")
    path = tmp_path / "streamed.wav"
    path.write_bytes(wav)
    assert_as_openai_whisper(path)


def test_amr(tmp_path):
    frames = np.random.default_rng(1).integers(0, 256, (100, 32), np.uint8)
    frames[:, 0] = 0x3C  # 12.2 kbit/s, good frame
    path = tmp_path / "call.amr"
    path.write_bytes(b"#!AMR\n" + frames.tobytes())
    assert_as_openai_whisper(path)


def test_file_written_by_pyav(tmp_path):
    path = tmp_path / "tone.flac"
    tone = (8_000 * np.sin(np.arange(48_000) * 0.05)).astype(np.int16)
    with av.open(path, "w") as container:
        stream = container.add_stream("flac", rate=24_000, layout="mono")
        for part in np.split(tone, 48):
            frame = av.AudioFrame.from_ndarray(part[None], format="s16", layout="mono")
            frame.sample_rate = 24_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert_as_openai_whisper(path)


def test_tags_in_an_unknown_encoding_do_no_harm(ffmpeg, speech, tmp_path):
    path = tmp_path / "tagged.wav"
    ffmpeg("-i", speech, "-metadata", "title=TITLE", path)
    path.write_bytes(path.read_bytes().replace(b"TITLE", b"\xff\xfe\xe9\x80\xc3"))
    assert_as_openai_whisper(path)


def test_a_file_object_is_read_from_its_start_and_left_open(speech):
    file = io.BytesIO(speech.read_bytes())
    file.seek(1_000)
    first = read_audio(file, LIMITS)
    np.testing.assert_array_equal(first, read_audio(file, LIMITS))


def test_the_name_of_the_upload_is_not_looked_at(tmp_path):
    path = tmp_path / "song.mp3"
    path.write_bytes(b"this is no music at all " * 500)
    with path.open("rb") as file, pytest.raises(UndecodableAudio):
        read_audio(file, LIMITS)


def test_channels_are_kept_apart(ffmpeg, speech, tmp_path):
    path = tmp_path / "two.wav"
    ffmpeg("-i", speech, "-af", "pan=stereo|c0=c0|c1=0.5*c0", "-ar", "16000", path)
    with path.open("rb") as file:
        channels = read_audio_channels(file, LIMITS)
    with wave.open(str(path)) as wav:
        expected = np.frombuffer(wav.readframes(wav.getnframes()), np.int16).reshape(-1, 2).T
    assert channels.dtype == np.int16
    np.testing.assert_array_equal(channels, expected)


def many_channels(count: int) -> tuple[io.BytesIO, np.ndarray]:
    samples = np.random.default_rng(count).integers(-3_000, 3_000, (16_000, count)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((count, 2, 16_000, 0, "NONE", ""))
        wav.writeframes(samples.tobytes())
    return file, samples.T


@pytest.mark.parametrize("count", range(1, 17))
def test_up_to_16_channels(count):
    file, expected = many_channels(count)
    np.testing.assert_array_equal(read_audio_channels(file, LIMITS), expected)
    assert read_audio(file, LIMITS).shape == (16_000,)


@pytest.mark.parametrize("count", [9, 12, 16])
def test_more_than_8_channels_are_averaged(count):
    file, expected = many_channels(count)
    np.testing.assert_allclose(read_audio(file, LIMITS), expected.mean(axis=0), atol=0.6)


@pytest.mark.parametrize("codec", ["libvorbis", "libopus -mapping_family 255"])
def test_16_channels_from_a_planar_decoder(codec, ffmpeg):
    file, expected = many_channels(16)
    source = io.BytesIO(_through(ffmpeg, file, codec))
    channels = read_audio_channels(source, LIMITS)
    assert channels.shape[0] == 16
    assert abs(channels.shape[1] - expected.shape[1]) < 1_600
    assert read_audio(source, LIMITS).shape == channels.shape[1:]


def _through(ffmpeg, file: io.BytesIO, codec: str) -> bytes:
    command = f"ffmpeg -v error -i pipe:0 -c:a {codec} -f ogg pipe:1"
    return subprocess.run(command.split(), input=file.getvalue(), stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac", "ogg", "webm", "aac", "ts", "mka"])
def test_a_cut_file_gives_what_is_there(suffix, ffmpeg, speech, tmp_path):
    path = tmp_path / f"cut.{suffix}"
    ffmpeg("-i", speech, "-ar", "48000", path)
    whole = len(load_audio(str(path)))
    os.truncate(path, path.stat().st_size * 6 // 10)
    assert_as_openai_whisper(path)
    assert len(load_audio(str(path))) < 0.8 * whole


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac", "mka", "wma", "ts", "mpg"])
def test_damage_in_the_middle_is_stepped_over(suffix, ffmpeg, speech, tmp_path):
    path = tmp_path / f"damaged.{suffix}"
    ffmpeg("-i", speech, path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = np.random.default_rng(5).bytes(600)
    path.write_bytes(data)
    assert len(read_audio(io.BytesIO(data), LIMITS)) == len(load_audio(str(path)))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("aac", "aac"), ("mp3", "libmp3lame"), ("ts", "aac"), ("ts", "mp2")]
)
def test_a_signal_that_changes_its_rate_and_channels_midway(suffix, codec, ffmpeg, speech, tmp_path):
    one, two = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
    ffmpeg("-i", speech, "-c:a", codec, "-ar", "22050", "-ac", "1", one)
    ffmpeg("-i", speech, "-c:a", codec, "-ar", "44100", "-ac", "2", two)
    file = io.BytesIO(one.read_bytes() + two.read_bytes())
    expected = len(load_audio(str(one))) + len(load_audio(str(two)))
    assert abs(len(read_audio(file, LIMITS)) - expected) < 3_200
    assert read_audio_channels(file, LIMITS).shape[0] == 1


def test_a_chain_that_can_not_be_followed_ends_after_its_first_link(ffmpeg, speech, tmp_path):
    one, two = tmp_path / "one.ogg", tmp_path / "two.ogg"
    ffmpeg("-i", speech, "-ar", "22050", one)
    ffmpeg("-i", speech, "-ar", "44100", two)
    expected = load_audio(str(one))
    samples = read_audio(io.BytesIO(one.read_bytes() + two.read_bytes()), LIMITS)
    assert abs(len(samples) - len(expected)) < 1_600


@pytest.mark.parametrize("samples", [0, 1, 1_599])
def test_too_short(samples):
    with pytest.raises(AudioTooShort) as caught:
        read_audio(silence(samples), LIMITS)
    assert caught.value.message == "Audio file is too short. Minimum audio length is 0.1 seconds."
    assert (caught.value.param, caught.value.code) == ("file", "audio_too_short")


def test_a_tenth_of_a_second_is_enough():
    assert read_audio(silence(1_600), LIMITS).shape == (1_600,)


def test_an_empty_file_is_too_short():
    with pytest.raises(AudioTooShort):
        read_audio(io.BytesIO(), LIMITS)


def silence(samples: int) -> io.BytesIO:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, 16_000, 0, "NONE", ""))
        wav.writeframes(bytes(2 * samples))
    return file


def test_decoding_side_by_side_changes_nothing(ffmpeg, speech, tmp_path):
    path = tmp_path / "speech.mp3"
    ffmpeg("-i", speech, path)
    data = path.read_bytes()
    alone = read_audio(io.BytesIO(data), LIMITS)
    with ThreadPoolExecutor(8) as pool:
        for samples in pool.map(lambda _: read_audio(io.BytesIO(data), LIMITS), range(16)):
            np.testing.assert_array_equal(samples, alone)


MEASURE = """
import re, sys
from pathlib import Path
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits

def memory(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

before = memory("VmRSS")
with open(sys.argv[1], "rb") as file:
    samples = read_audio(file, AudioLimits())
print(len(samples), memory("VmHWM") - before)
"""


@pytest.mark.slow
def test_an_hour_costs_little_more_than_its_samples(ffmpeg, tmp_path):
    path = tmp_path / "hour.flac"
    ffmpeg("-f", "lavfi", "-i", "sine=frequency=300:sample_rate=22050:duration=3600", path)
    run = subprocess.run([sys.executable, "-c", MEASURE, path], check=True, capture_output=True, text=True)
    samples, megabytes = run.stdout.split()
    assert int(samples) == 3600 * 16_000
    assert 110 < float(megabytes) < 280
