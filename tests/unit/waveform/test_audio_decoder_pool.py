"""Real decoder processes: what they give, and what becomes of those that crash, hang and are left."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import NamedTemporaryFile, SpooledTemporaryFile, TemporaryFile
from threading import Event
from typing import IO, Any

import numpy as np
import pytest

from app.errors import (
    AudioTooLong,
    AudioTooShort,
    ClientGone,
    InvalidRequest,
    RequestTimeout,
    ServerBusy,
    StartError,
    UndecodableAudio,
)
from app.waveform import Pcm
from app.waveform import audio_decoder_pool as module
from app.waveform.audio_decoder_pool import AudioDecoderPool
from app.waveform.audio_file import read_audio, read_audio_channels
from app.waveform.audio_limits import AudioLimits
from app.waveform.audio_refusals import UNDECODABLE
from tests.processes import children, is_running, open_files

DATA = Path(__file__).resolve().parents[2] / "data"
FLAGSHIP = (DATA / "flagship.wav").read_bytes()
LIMITS = AudioLimits()
GIVE_UP_SECONDS = 60


class CountedPool(AudioDecoderPool):
    """A pool of the usual limits that counts its restarts."""

    def __init__(self, count: int = 1, limits: AudioLimits = LIMITS, **more: int) -> None:
        self.restarts = 0
        self.limits = limits
        super().__init__(count, limits.max_seconds, self._count, **more)

    def _count(self) -> None:
        self.restarts += 1

    def read(
        self, file: IO[bytes], *, by_channel: bool = False, check: Callable[[], None] = lambda: None
    ) -> Pcm:
        return self.read_audio(file, self.limits, by_channel=by_channel, check=check)


StartPool = Callable[..., CountedPool]


def hours_of_amr(hours: float) -> io.BytesIO:
    """A call in which nobody speaks: 2.3 MB and some seconds of work for each hour."""
    return io.BytesIO(b"#!AMR\n" + (b"\x04" + bytes(12)) * round(hours * 3_600 * 50))


def wav(*, channels: int = 1, rate: int = 16_000, seconds: float = 1) -> io.BytesIO:
    samples = np.random.default_rng(channels).integers(-3_000, 3_000, (round(rate * seconds), channels))
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, 2, rate, 0, "NONE", ""))
        writer.writeframes(samples.astype("<i2").tobytes())
    return file


def pids(parent: int | None = None) -> set[int]:
    """The decoder processes of a process, by default of this one."""
    return set(children(parent or os.getpid(), "decoder_process"))


def wait_until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


def reads(pid: int) -> bool:
    """Whether a decoder process has a file to read."""
    return any("memfd:samples" in target for target in open_files(pid).values())


@pytest.fixture
def start() -> Iterator[StartPool]:
    started: list[CountedPool] = []

    def starting(**more: Any) -> CountedPool:
        started.append(CountedPool(**more))
        started[-1].wait_until_started()
        return started[-1]

    yield starting
    for decoders in started:
        decoders.close()
    assert pids() == set()


@pytest.fixture
def decoders(start: StartPool) -> CountedPool:
    return start()


@pytest.fixture
def pid(decoders: CountedPool) -> int:
    [pid] = pids()
    return pid


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def assert_still_good(decoders: CountedPool) -> None:
    samples = decoders.read(io.BytesIO(FLAGSHIP))
    np.testing.assert_array_equal(samples, read_audio(io.BytesIO(FLAGSHIP), LIMITS))


def test_samples_are_those_of_decoding_in_this_process(decoders: CountedPool) -> None:
    for file in (io.BytesIO(FLAGSHIP), wav(rate=48_000), wav(channels=2), wav(channels=16, seconds=5)):
        np.testing.assert_array_equal(decoders.read(file), read_audio(file, LIMITS))
        channels = decoders.read(file, by_channel=True)
        np.testing.assert_array_equal(channels, read_audio_channels(file, LIMITS))
        assert (channels.dtype, channels.flags.c_contiguous) == (np.int16, True)
    assert decoders.restarts == 0


UPLOADS: dict[str, Callable[[], IO[bytes]]] = {
    "in memory": lambda: SpooledTemporaryFile(max_size=10**6),  # noqa: SIM115  opened by the test
    "on the disk": lambda: SpooledTemporaryFile(max_size=1_000),  # noqa: SIM115
    "written a moment ago": lambda: TemporaryFile(buffering=10**6),  # noqa: SIM115
    "named": NamedTemporaryFile,
}


def test_every_kind_of_upload(decoders: CountedPool) -> None:
    expected = read_audio(io.BytesIO(FLAGSHIP), LIMITS)
    for kind, opened in UPLOADS.items():
        with opened() as file:
            file.write(FLAGSHIP)
            samples = decoders.read(file)
            np.testing.assert_array_equal(samples, expected)
            if kind == "in memory":
                assert file.name is None  # it did not go to the disk for this
            file.seek(0)
            assert file.read() == FLAGSHIP


def test_each_file_has_limits_of_its_own(decoders: CountedPool) -> None:
    limits = AudioLimits(max_seconds=0.5, why="and that is a pity.")
    with pytest.raises(AudioTooLong) as caught:
        decoders.read_audio(wav(), limits, by_channel=False, check=lambda: None)
    assert (
        caught.value.message == "Audio duration 1.0 seconds is longer than 0.5 seconds, and that is a pity."
    )
    assert_still_good(decoders)


def test_refusals_are_those_of_decoding_in_this_process(start: StartPool) -> None:
    limits = AudioLimits(max_seconds=3)
    decoders = start(limits=limits)
    [pid] = pids()
    files = [
        io.BytesIO(),
        io.BytesIO(b"this is no audio " * 1_000),
        io.BytesIO(b"ffconcat version 1.0\nfile '/etc/passwd'\n"),
        wav(rate=500),
        wav(seconds=0.05),
        wav(seconds=3.5),
        hours_of_amr(0.01),
    ]
    expected = [refusal_of(lambda file=file: read_audio(file, limits)) for file in files]
    got = [refusal_of(lambda file=file: decoders.read(file)) for file in files]
    assert got == expected
    assert {kind for kind, *_ in got} == {UndecodableAudio, AudioTooShort, AudioTooLong}
    assert (decoders.restarts, pids()) == (0, {pid})


def refusal_of(work: Callable[[], object]) -> tuple[type, str, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        work()
    return type(caught.value), caught.value.message, caught.value.param


def test_a_crash_costs_one_request(
    decoders: CountedPool, pid: int, aside: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    reading = aside.submit(decoders.read, hours_of_amr(4))
    wait_until(lambda: reads(pid))
    os.kill(pid, signal.SIGSEGV)
    with pytest.raises(UndecodableAudio) as caught:
        reading.result(GIVE_UP_SECONDS)
    assert (caught.value.message, caught.value.param) == (UNDECODABLE, "file")
    assert_still_good(decoders)
    assert decoders.restarts == 1
    assert pids() != {pid}
    assert len(pids()) == 1
    [line] = caplog.messages
    assert line.startswith(f"Decoder process {pid} was ended by signal 11 ")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_file_whose_process_is_lost_from_outside_is_read_by_another(
    decoders: CountedPool, pid: int, aside: ThreadPoolExecutor, number: signal.Signals
) -> None:
    reading = aside.submit(decoders.read, hours_of_amr(1))
    wait_until(lambda: reads(pid))
    os.kill(pid, number)
    assert len(reading.result(GIVE_UP_SECONDS)) == 3_600 * 16_000
    assert decoders.restarts == 1
    assert pid not in pids()


def test_one_that_is_stopped_keeps_nobody_behind_it(
    decoders: CountedPool, pid: int, aside: ThreadPoolExecutor
) -> None:
    first = aside.submit(decoders.read, hours_of_amr(0.1))
    wait_until(lambda: reads(pid))
    second = aside.submit(decoders.read, io.BytesIO(FLAGSHIP))
    wait_until(lambda: decoders._waiting)
    os.kill(pid, signal.SIGSTOP)
    assert len(second.result(GIVE_UP_SECONDS)) == len(read_audio(io.BytesIO(FLAGSHIP), LIMITS))
    assert len(first.result(GIVE_UP_SECONDS)) == 360 * 16_000
    assert decoders.restarts == 1


def test_a_file_is_not_tried_for_ever(decoders: CountedPool, aside: ThreadPoolExecutor) -> None:
    reading = aside.submit(decoders.read, hours_of_amr(4))
    for _ in range(2):
        wait_until(lambda: any(map(reads, pids())))
        [pid] = filter(reads, pids())
        end(pid)
    with pytest.raises(ServerBusy) as caught:
        reading.result(GIVE_UP_SECONDS)
    assert caught.value.retry_after_seconds == 5
    assert_still_good(decoders)
    assert decoders.restarts == 2


def test_one_that_is_stopped_while_idle_costs_no_request(decoders: CountedPool, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: next(iter(decoders._idle)).stopped)
    assert_still_good(decoders)
    assert decoders.restarts == 1
    assert pid not in pids()


def test_the_time_limit_itself_costs_no_process(start: StartPool) -> None:
    decoders = start(limits=AudioLimits(read_seconds=0.25))
    with pytest.raises(AudioTooLong, match="WHISPER_DECODE_SECONDS"):
        decoders.read(hours_of_amr(4))
    assert decoders.restarts == 0


@pytest.mark.slow
def test_memory_is_limited(start: StartPool, caplog: pytest.LogCaptureFixture) -> None:
    large = wav(channels=16, rate=96_000, seconds=2)
    decoders = start(memory_bytes=16 << 20)
    with pytest.raises(UndecodableAudio) as caught:
        decoders.read(large)
    assert (caught.value.message, caught.value.param) == (UNDECODABLE, "file")
    assert "needed more memory than it may take" in caplog.text
    assert_still_good(decoders)
    assert decoders.restarts == 1
    assert len(start().read(large)) == 2 * 16_000


def test_limits_of_a_process(decoders: CountedPool, pid: int) -> None:
    assert_still_good(decoders)  # the time is limited file by file
    rows = Path(f"/proc/{pid}/limits").read_text().splitlines()
    soft = {row[:26].strip(): row[26:46].strip() for row in rows}
    size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    assert 0 <= int(soft["Max address space"]) - module.MEMORY_BYTES <= size
    assert 4 * 16_000 * 14_400 <= int(soft["Max file size"]) < 1.02 * 4 * 16_000 * 14_400
    assert 60 < int(soft["Max cpu time"]) < 75
    assert int(soft["Max open files"]) == 32
    assert int(soft["Max core file size"]) == 0


def test_a_process_knows_no_secret_and_holds_no_port(
    monkeypatch: pytest.MonkeyPatch, start: StartPool
) -> None:
    monkeypatch.setenv("WHISPER_API_KEYS", "sk-secret")
    with socket.create_server(("127.0.0.1", 0)) as port:
        port.set_inheritable(True)
        start()
        [pid] = pids()
        targets = [target.partition(":")[0] for target in open_files(pid).values()]
    assert b"sk-secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert len(targets) == 4
    assert targets.count("/dev/null") == 2
    assert targets.count("pipe") == 1
    assert targets.count("socket") == 1
    assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1


def test_limits_are_for_good(decoders: CountedPool, pid: int) -> None:
    rows = Path(f"/proc/{pid}/limits").read_text().splitlines()
    for name in ("Max address space", "Max file size", "Max open files", "Max core file size"):
        [row] = [row for row in rows if row.startswith(name)]
        assert row[26:46].strip() == row[47:67].strip() != "unlimited"


def test_a_process_has_loaded_all_of_pyav_before_it_is_confined() -> None:
    """Behind the filter no library can be loaded: PyAV imports some of its modules late."""
    program = (
        "import sys, av, pathlib, app.waveform.audio_decoder_process;"
        "root = pathlib.Path(av.__file__).parent;"
        "names = {'.'.join(('av', *path.relative_to(root).with_name(path.name.split('.')[0]).parts))"
        " for path in root.rglob('*.so')};"
        "print(len(names) > 20, sorted(names - set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "True []"


def test_what_a_process_writes_is_in_the_workers_log(
    start: StartPool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; print('a\\x1bb', file=sys.stderr)")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    decoders = start()
    [pid] = pids()
    assert_still_good(decoders)
    assert caplog.messages == [f"Decoder process {pid} wrote 'a\\x1bb'"]


def test_a_process_carries_no_web_server_about() -> None:
    program = (
        "import sys, app.waveform.audio_decoder_process;"
        "print(sorted({'flask', 'torch', 'app.settings', 'app.runtime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_client_that_leaves_ends_the_work_on_its_file(
    decoders: CountedPool, pid: int, aside: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Event()

    def check() -> None:
        if gone.is_set():
            raise ClientGone("The client closed the connection.")

    reading = aside.submit(decoders.read, hours_of_amr(4), check=check)
    wait_until(lambda: reads(pid))
    gone.set()
    with pytest.raises(ClientGone):
        reading.result(GIVE_UP_SECONDS)
    assert pid not in pids()
    assert_still_good(decoders)
    assert decoders.restarts == 0
    assert caplog.messages == []


def test_a_request_that_waits_for_its_turn_keeps_its_deadline(
    decoders: CountedPool, pid: int, aside: ThreadPoolExecutor
) -> None:
    first = aside.submit(decoders.read, hours_of_amr(0.1))
    wait_until(lambda: reads(pid))

    def check() -> None:
        raise RequestTimeout("too late")

    with pytest.raises(RequestTimeout):
        decoders.read(wav(), check=check)
    assert len(first.result(GIVE_UP_SECONDS)) == 360 * 16_000
    assert_still_good(decoders)
    assert pids() == {pid}


def test_files_are_read_in_the_order_they_came(
    decoders: CountedPool, pid: int, aside: ThreadPoolExecutor
) -> None:
    held = decoders._leased(lambda: None)
    held.__enter__()
    done: list[int] = []

    def submit(number: int) -> Future[None]:
        def work() -> None:
            decoders.read(wav())
            done.append(number)

        return aside.submit(work)

    requests = []
    for number in range(5):
        requests.append(submit(number))
        wait_until(lambda waiting=number: len(decoders._waiting) == waiting + 1)
    held.__exit__(None, None, None)
    for request in requests:
        request.result(GIVE_UP_SECONDS)
    assert done == sorted(done)


def test_one_that_ends_while_idle_costs_no_request(decoders: CountedPool, pid: int) -> None:
    end(pid)
    assert_still_good(decoders)
    assert decoders.restarts == 1


def test_what_asks_a_worker_to_stop_does_not_stop_its_decoders(decoders: CountedPool, pid: int) -> None:
    for asked in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        os.kill(pid, asked)
    assert_still_good(decoders)
    assert pids() == {pid}


def test_closing_ends_everything(start: StartPool, aside: ThreadPoolExecutor) -> None:
    decoders = start(count=2)
    running = [aside.submit(decoders.read, hours_of_amr(4)) for _ in range(2)]
    wait_until(lambda: all(map(reads, pids())))
    waiting = aside.submit(decoders.read, wav())
    wait_until(lambda: decoders._waiting)
    decoders.close()
    for request in (*running, waiting):
        with pytest.raises(ServerBusy, match="stopping"):
            request.result(GIVE_UP_SECONDS)
    with pytest.raises(ServerBusy):
        decoders.read(wav())
    assert decoders.restarts == 0
    assert pids() == set()


WORKER = """
import time
from app.waveform.audio_decoder_pool import AudioDecoderPool

decoders = AudioDecoderPool(2, 60, print)
decoders.wait_until_started()
print("started", flush=True)
time.sleep(600)
"""


def test_audio_decoder_pool_do_not_outlive_a_killed_worker() -> None:
    with subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE) as worker:
        assert worker.stdout
        worker.stdout.readline()
        children = pids(worker.pid)
        os.kill(min(children), signal.SIGSTOP)  # one that hangs ends too
        worker.kill()
    assert len(children) == 2
    wait_until(lambda: not any(is_running(pid) for pid in children))


def test_one_that_can_not_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    decoders = CountedPool()
    with pytest.raises(StartError, match="can't be started: ended with status 1"):
        decoders.wait_until_started()
    decoders.close()


def test_one_that_can_not_be_started_again_is_tried_until_it_can(
    decoders: CountedPool, pid: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        end(pid)

        def check() -> None:
            if "can't be started" in caplog.text:
                patch.undo()

        assert decoders.read(wav(), check=check).shape == (16_000,)


@pytest.mark.parametrize(("cores", "count"), [(1, 1), (3, 3), (64, 4)])
def test_one_for_each_core_but_four_at_most(monkeypatch: pytest.MonkeyPatch, cores: int, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    decoders = CountedPool(count=0)
    decoders.close()
    assert len(decoders._first) == count


def high_water_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def test_a_process_holds_no_more_than_a_block_of_samples(decoders: CountedPool, pid: int) -> None:
    decoders.read(hours_of_amr(0.05))
    before = high_water_mb(pid)
    samples = decoders.read(hours_of_amr(0.25))
    assert samples.nbytes / 2**20 > 25
    assert high_water_mb(pid) - before < 10


@pytest.mark.long
def test_the_longest_recording(decoders: CountedPool, pid: int, ffmpeg: Callable[..., bytes]) -> None:
    options = ["-t", "14400", "-frame_size", "65535", "-f", "flac", "pipe:1"]
    flac = ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:cl=stereo", *options)
    assert_still_good(decoders)
    before = high_water_mb(pid)
    samples = decoders.read(io.BytesIO(flac), by_channel=True)
    assert samples.shape == (2, 14_400 * 16_000)
    assert high_water_mb(pid) - before < 30
