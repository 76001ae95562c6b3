"""Gunicorn's settings, and what its hooks do to arbiters and workers."""

import logging
import os
import socket
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.workers.gthread import ThreadWorker

from app.checkpoints import Checkpoint
from app.errors import CheckpointError
from app.logs import FORMATTERS
from app.preflight import Preflight

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = Checkpoint("tiny", Path("/models/tiny.pt"), "ab")


def load_conf() -> ModuleType:
    spec = spec_from_file_location("gunicorn_conf", ROOT / "gunicorn.conf.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def conf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    for name in ("HOST", "PORT", "WHISPER_REQUEST_SECONDS", "WHISPER_STALL_SECONDS", "WHISPER_LOG_FORMAT"):
        monkeypatch.delenv(name, raising=False)
    conf = load_conf()
    monkeypatch.setattr(conf, "worker_tmp_dir", str(tmp_path))
    return conf


class FakeRuntime:
    """Notes what it is told, and fails to start with `failure`."""

    card = SimpleNamespace(name="tiny")
    notice = None

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.told: list[Any] = []
        self.metrics = SimpleNamespace(share=lambda *shared: self.told.append(shared))

    def start(self, device: str, checkpoint: Checkpoint | None) -> None:
        self.told.append((device, checkpoint))
        if self.failure:
            raise self.failure

    def drain(self) -> None:
        self.told.append("drain")

    def close(self) -> None:
        self.told.append("close")


class FakeLog:
    """Keeps the level of each line."""

    def __init__(self) -> None:
        self.levels: list[str] = []

    def __getattr__(self, level: str) -> Any:
        return lambda *_: self.levels.append(level)


def arbiter(*devices: str) -> Any:
    return SimpleNamespace(
        devices=devices, checkpoint=CHECKPOINT, generation=0, WORKERS={}, cfg=Config(), num_workers=1
    )


def worker_of(runtime: FakeRuntime, age: int = 1, **attributes: Any) -> Any:
    app = SimpleNamespace(extensions={"runtime": runtime})
    return SimpleNamespace(age=age, app=SimpleNamespace(wsgi=lambda: app), log=FakeLog(), **attributes)


def spawn(conf: ModuleType, server: Any, age: int) -> Any:
    worker = SimpleNamespace(age=age)
    conf.pre_fork(server, worker)
    server.WORKERS[age] = worker
    return worker


def devices_in_use(server: Any) -> list[str]:
    return sorted(worker.device for worker in server.WORKERS.values())


def test_every_name_that_looks_like_a_setting_is_one(conf: ModuleType) -> None:
    config = Config()
    given = {name: value for name, value in vars(conf).items() if name in config.settings}
    for name, value in given.items():
        config.set(name, value)
    assert given.keys() == {
        *("bind", "worker_class", "threads", "worker_connections", "preload_app", "max_requests", "timeout"),
        *("graceful_timeout", "keepalive", "control_socket_disable", "worker_tmp_dir"),
        *("on_starting", "on_reload", "pre_fork", "post_fork", "post_worker_init", "worker_exit"),
        *("child_exit", "logger_class"),
    }
    assert config.worker_connections > config.threads


@pytest.mark.parametrize(
    ("environ", "bind"),
    [
        ({}, "127.0.0.1:8000"),
        ({"HOST": "0.0.0.0", "PORT": "9000"}, "0.0.0.0:9000"),
        ({"HOST": "::1"}, "[::1]:8000"),
        ({"HOST": "unix:/run/w.sock", "PORT": "9000"}, "unix:/run/w.sock"),
    ],
)
def test_bind(conf: ModuleType, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], bind: str) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert load_conf().bind == bind


def test_stopping_takes_longer_than_any_request(conf: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert conf.graceful_timeout == 3630
    monkeypatch.setenv("WHISPER_REQUEST_SECONDS", "60")
    assert load_conf().graceful_timeout == 90


def test_a_bad_setting_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(SystemExit, match=r"^Error: PORT is 'http'; it must be a whole number\.$"):
        load_conf()


def test_on_starting_asks_the_preflight(conf: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf.preflight, "run", lambda: Preflight(CHECKPOINT, ("cuda:0", "cuda:1")))
    monkeypatch.setattr(conf.signal, "signal", lambda *_: None)
    server = SimpleNamespace(cfg=Config())
    conf.on_starting(server)
    assert server.metrics_folder.is_dir()
    assert (server.checkpoint, server.devices) == (CHECKPOINT, ("cuda:0", "cuda:1"))
    assert server.num_workers == server.cfg.workers == 2


def test_workers_share_out_the_devices_and_inherit_dead_ones(conf: ModuleType) -> None:
    server = arbiter("cuda:0", "cuda:1", "cpu", "cpu")
    for age in (1, 2, 3, 4):
        assert spawn(conf, server, age).checkpoint is CHECKPOINT
    assert devices_in_use(server) == ["cpu", "cpu", "cuda:0", "cuda:1"]
    for dead in (2, 3):
        device = server.WORKERS.pop(dead).device
        replacement = spawn(conf, server, dead + 3)
        assert replacement.device == device
        assert replacement.checkpoint is None


def test_extra_workers_go_where_fewest_are(conf: ModuleType) -> None:
    server = arbiter("cuda:0", "cuda:1")
    for age in (1, 2, 3, 4):
        spawn(conf, server, age)
    assert devices_in_use(server) == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]


def test_reload_spreads_the_new_workers_while_the_old_are_still_there(conf: ModuleType) -> None:
    server = arbiter("cuda:0", "cuda:1")
    old = [spawn(conf, server, age) for age in (1, 2, 3)]
    server.num_workers = 1
    conf.on_reload(server)
    assert server.num_workers == server.cfg.workers == 2
    new = [spawn(conf, server, age) for age in (4, 5)]
    assert {worker.device for worker in new} == {"cuda:0", "cuda:1"}
    assert not any(worker.first for worker in new)
    assert all(worker.first for worker in old[:2])


def test_a_workers_number_is_free_until_it_is_dead(conf: ModuleType) -> None:
    server = arbiter("cpu", "cpu")
    assert [spawn(conf, server, age).number for age in (1, 2)] == [0, 1]
    conf.on_reload(server)
    assert [spawn(conf, server, age).number for age in (3, 4)] == [2, 3]
    del server.WORKERS[1], server.WORKERS[2]
    conf.on_reload(server)
    assert [spawn(conf, server, age).number for age in (5, 6, 7)] == [0, 1, 4]


def test_workers_of_one_instance_count_together(
    conf: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/of/somebody/else")
    server, runtime = SimpleNamespace(metrics_folder=tmp_path), FakeRuntime()
    worker = worker_of(runtime, number=1)
    conf.post_fork(server, worker)
    assert runtime.told == [(tmp_path, 1)]
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(tmp_path)
    for name in ("gauge_livesum_0.db", "gauge_livesum_1.db", "counter_1.db"):
        (tmp_path / name).touch()
    conf.child_exit(server, worker)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_1.db", "gauge_livesum_0.db"]


def test_the_folder_goes_with_its_master_alone(conf: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[Any] = []
    monkeypatch.setattr(conf.atexit, "register", at_exit.append)
    folder = conf._metrics_folder(SimpleNamespace(cfg=Config()))
    [remove] = at_exit
    master = os.getpid()
    monkeypatch.setattr(conf.os, "getpid", lambda: master + 1)
    remove()
    assert folder.is_dir()
    monkeypatch.setattr(conf.os, "getpid", lambda: master)
    remove()
    assert not folder.exists()


@pytest.fixture
def loggers() -> Iterator[list[logging.Logger]]:
    """Those that Gunicorn's logger changes, left as they were."""
    names = (None, "app", "gunicorn.error", "gunicorn.access")
    found = [logging.getLogger(name) for name in names]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in found]
    for logger in found[2:]:
        logger.handlers = []
    yield found
    for logger, (handlers, level, propagate) in zip(found, before, strict=True):
        logger.handlers, logger.level, logger.propagate = handlers, level, propagate


@pytest.mark.parametrize(("name", "formatter"), FORMATTERS.items())
def test_all_lines_have_one_format_and_one_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loggers: list[logging.Logger], name: str, formatter: type
) -> None:
    monkeypatch.setenv("WHISPER_LOG_FORMAT", name)
    config, file = Config(), tmp_path / "errors.log"
    config.set("errorlog", str(file))
    config.set("loglevel", "warning")
    load_conf().OneFormatLogger(config).error("gunicorns")
    for logger in ("app.engines", "third.party"):
        logging.getLogger(logger).warning("ours")
    logging.getLogger("app.api").info("too little")
    [handler] = loggers[0].handlers
    handler.close()
    assert type(handler.formatter) is formatter
    assert [line.count("ours") for line in file.read_text().splitlines()] == [0, 1, 1]


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (BlockingIOError("Resource temporarily unavailable"), ["A connection was cut"]),
        (OSError("Bad file descriptor"), ["Socket error", "Traceback"]),
    ],
)
def test_a_silent_client_is_no_traceback(
    conf: ModuleType, tmp_path: Path, loggers: list[logging.Logger], failure: OSError, told: list[str]
) -> None:
    config, file = Config(), tmp_path / "errors.log"
    config.set("errorlog", str(file))
    log = conf.OneFormatLogger(config)
    try:
        raise failure
    except OSError:
        log.exception("Socket error processing request.")
    loggers[0].handlers[0].close()
    lines = file.read_text().splitlines()
    assert all(text in line for text, line in zip(told, lines, strict=False))
    assert (len(lines) == 1) is (len(told) == 1)


def test_worker_starts_and_stops_its_runtime(conf: ModuleType) -> None:
    runtime = FakeRuntime()
    worker = worker_of(runtime, device="cuda:1", checkpoint=CHECKPOINT)
    conf.post_worker_init(worker)
    conf.worker_exit(SimpleNamespace(), worker)
    assert runtime.told == [("cuda:1", CHECKPOINT), "close"]
    assert worker.log.levels == ["info"]


def test_notice_is_logged(conf: ModuleType) -> None:
    runtime = FakeRuntime()
    runtime.notice = "a toy"
    worker = worker_of(runtime, device="cpu", checkpoint=None)
    conf.post_worker_init(worker)
    assert worker.log.levels == ["info", "warning"]


@pytest.mark.parametrize(
    ("failure", "level"), [(CheckpointError("damaged"), "error"), (RuntimeError("no memory"), "exception")]
)
def test_failure_at_the_first_start_stops_the_server(
    conf: ModuleType, failure: Exception, level: str
) -> None:
    worker = worker_of(FakeRuntime(failure), first=True, device="cpu", checkpoint=CHECKPOINT)
    with pytest.raises(SystemExit) as caught:
        conf.post_worker_init(worker)
    assert caught.value.code == Arbiter.WORKER_BOOT_ERROR
    assert worker.log.levels == [level]


def test_failure_later_waits_and_ends_the_worker_alone(
    conf: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(conf.time, "sleep", slept.append)
    worker = worker_of(FakeRuntime(RuntimeError("no memory")), first=False, device="cpu", checkpoint=None)
    with pytest.raises(SystemExit) as caught:
        conf.post_worker_init(worker)
    assert caught.value.code not in (0, Arbiter.WORKER_BOOT_ERROR, Arbiter.APP_LOAD_ERROR)
    assert slept == [conf.RETRY_SECONDS]


@pytest.mark.parametrize(("alive", "told", "closed"), [(True, [], False), (False, ["drain"], True)])
def test_the_port_is_closed_by_a_stopping_worker_but_not_by_a_full_one(
    conf: ModuleType, monkeypatch: pytest.MonkeyPatch, alive: bool, told: list[str], closed: bool
) -> None:
    monkeypatch.setattr(ThreadWorker, "set_accept_enabled", lambda self, enabled: None)
    runtime, closures = FakeRuntime(), []
    worker = conf.ClosingThreadWorker.__new__(conf.ClosingThreadWorker)
    worker.alive = alive
    worker.app = worker_of(runtime).app
    worker.sockets = [SimpleNamespace(close=lambda: closures.append(True))]
    worker.set_accept_enabled(False)
    assert runtime.told == told
    assert bool(closures) is closed


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_a_client_that_neither_sends_nor_takes_anything_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, family: socket.AddressFamily
) -> None:
    def read_and_write(self: object, conn: Any) -> bool:
        with pytest.raises(BlockingIOError):
            conn.sock.recv(1)
        with pytest.raises(BlockingIOError):
            conn.sock.sendall(bytes(64 * 1024 * 1024))
        return False

    monkeypatch.setattr(ThreadWorker, "handle", read_and_write)
    monkeypatch.setenv("WHISPER_STALL_SECONDS", "1")
    worker_class = load_conf().ClosingThreadWorker
    worker = worker_class.__new__(worker_class)
    with socket.socket(family) as listener, socket.socket(family) as client:
        listener.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "s"))
        listener.listen()
        client.connect(listener.getsockname())
        with listener.accept()[0] as accepted:
            assert worker.handle(SimpleNamespace(sock=accepted)) is False


class Poller:
    """Keeps what is registered."""

    def __init__(self) -> None:
        self.watched: dict[Any, Any] = {}

    def register(self, sock: Any, event: int, callback: Any) -> None:
        self.watched[sock] = callback

    def unregister(self, sock: Any) -> None:
        del self.watched[sock]


@pytest.fixture
def lingering(conf: ModuleType) -> Iterator[Any]:
    """A worker that has just answered one client for the last time; its `client` is that client's end."""
    worker = conf.ClosingThreadWorker.__new__(conf.ClosingThreadWorker)
    worker.lingering, worker.pending_conns, worker.poller, worker.nr_conns = deque(), deque(), Poller(), 1
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.client = theirs
        worker.conn = SimpleNamespace(sock=ours, close=ours.close, timeout=None)
        answered: Future[object] = Future()
        answered.set_result(False)
        worker.finish_request(worker.conn, answered)
        yield worker


def test_nobody_waits_for_a_client_to_hang_up(lingering: Any) -> None:
    assert lingering.client.recv(1) == b""
    lingering.client.sendall(b"the rest of a body that nobody wants")
    [callback] = lingering.poller.watched.values()
    callback(lingering.conn.sock)
    callback(lingering.conn.sock)
    assert lingering.nr_conns == 1
    lingering.client.close()
    callback(lingering.conn.sock)
    assert (lingering.nr_conns, lingering.conn.sock.fileno()) == (0, -1)
    assert not lingering.lingering
    assert not lingering.poller.watched


def test_a_client_that_never_hangs_up_is_cut(lingering: Any) -> None:
    lingering.murder_pending()
    assert lingering.nr_conns == 1
    lingering.conn.timeout = 0.0
    lingering.murder_pending()
    assert (lingering.nr_conns, lingering.conn.sock.fileno()) == (0, -1)
    assert not lingering.poller.watched


def test_a_connection_that_is_closed_already(conf: ModuleType) -> None:
    worker = conf.ClosingThreadWorker.__new__(conf.ClosingThreadWorker)
    worker.lingering, worker.poller, worker.nr_conns = deque(), Poller(), 1
    ours, theirs = socket.socketpair()
    ours.close()
    theirs.close()
    answered: Future[object] = Future()
    answered.set_result(False)
    worker.finish_request(SimpleNamespace(sock=ours, close=ours.close), answered)
    assert worker.nr_conns == 0


def test_a_connection_that_is_kept_is_gunicorns(conf: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    monkeypatch.setattr(ThreadWorker, "finish_request", lambda self, conn, fs: kept.append(conn))
    worker = conf.ClosingThreadWorker.__new__(conf.ClosingThreadWorker)
    for result in (True, object()):
        answered: Future[object] = Future()
        answered.set_result(result)
        worker.finish_request("conn", answered)
    failed: Future[object] = Future()
    failed.set_exception(ValueError())
    worker.finish_request("conn", failed)
    assert kept == ["conn"] * 3


def test_a_client_that_takes_nothing_is_cut(conf: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def stall(self: object, req: object, conn: object) -> bool:
        raise BlockingIOError

    monkeypatch.setattr(ThreadWorker, "handle_request", stall)
    worker = conf.ClosingThreadWorker.__new__(conf.ClosingThreadWorker)
    worker.log = FakeLog()
    assert worker.handle_request(None, None) is False
    assert worker.log.levels == ["info"]
