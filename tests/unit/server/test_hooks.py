"""What the hooks do to arbiters and workers."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config

from app.checkpoints import Checkpoint
from app.errors import CheckpointError
from app.preflight import Preflight
from app.server import hooks
from app.server.arbiter import SpeechArbiter
from tests.unit.server.scripted import FakeLog, FakeRuntime

CHECKPOINT = Checkpoint("tiny", Path("/models/tiny.pt"), "ab")


def arbiter(*devices: str) -> Any:
    return SimpleNamespace(
        devices=devices,
        checkpoint=CHECKPOINT,
        known={},
        generation=0,
        WORKERS={},
        cfg=Config(),
        num_workers=1,
    )


def worker_of(runtime: FakeRuntime, age: int = 1, **attributes: Any) -> Any:
    app = SimpleNamespace(extensions={"runtime": runtime})
    return SimpleNamespace(
        age=age,
        app=SimpleNamespace(wsgi=lambda: app),
        log=FakeLog(),
        **{
            "device": "cpu",
            "checkpoint": None,
            "known": {},
            "serving": bytearray(1),
            "folder": Path("/run/whisper"),
            "number": 0,
            **attributes,
        },
    )


def spawn(server: Any, age: int) -> Any:
    worker = SimpleNamespace(age=age)
    hooks.pre_fork(server, worker)
    server.WORKERS[age] = worker
    return worker


def devices_in_use(server: Any) -> list[str]:
    return sorted(worker.device for worker in server.WORKERS.values())


@pytest.fixture
def starting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """An arbiter to be started, whose preflight finds two devices; no signal is really handled.

    `hidden` tells how often the memory of this process would have been hidden.
    """
    hidden: list[bool] = []
    monkeypatch.setattr(hooks.preflight, "run", lambda: Preflight(CHECKPOINT, ("cuda:0", "cuda:1")))
    monkeypatch.setattr(hooks.signal, "signal", lambda *_: None)
    monkeypatch.setattr(hooks, "hide_memory", lambda: hidden.append(True))
    server = Arbiter.__new__(Arbiter)
    server.cfg, server._num_workers = Config(), 1
    server.cfg.set("worker_tmp_dir", str(tmp_path))
    server.hidden = hidden
    return server


def test_on_starting_asks_the_preflight(starting: Any, tmp_path: Path) -> None:
    hooks.on_starting(starting)
    assert starting.hidden == [True]
    assert starting.metrics_folder.parent == tmp_path
    assert (starting.checkpoint, starting.devices) == (CHECKPOINT, ("cuda:0", "cuda:1"))
    assert starting.num_workers == starting.cfg.workers == 2


def test_the_arbiter_is_ours_from_the_start(starting: Any) -> None:
    hooks.on_starting(starting)
    assert type(starting) is SpeechArbiter
    assert (starting.generation, starting.reload_again) == (0, False)


def test_a_start_can_be_stopped(starting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The preflight may download for minutes."""
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(hooks.signal, "signal", handlers.__setitem__)
    hooks.on_starting(starting)
    assert handlers.keys() == {hooks.signal.SIGTERM, hooks.signal.SIGINT}
    for handle in handlers.values():
        with pytest.raises(SystemExit) as caught:
            handle(15, None)
        assert caught.value.code == 0


def test_workers_share_out_the_devices_and_inherit_dead_ones() -> None:
    server = arbiter("cuda:0", "cuda:1", "cpu", "cpu")
    for age in (1, 2, 3, 4):
        assert spawn(server, age).checkpoint is CHECKPOINT
    assert devices_in_use(server) == ["cpu", "cpu", "cuda:0", "cuda:1"]
    for dead in (2, 3):
        device = server.WORKERS.pop(dead).device
        replacement = spawn(server, dead + 3)
        assert replacement.device == device
        assert replacement.checkpoint is None


def test_extra_workers_go_where_fewest_are() -> None:
    server = arbiter("cuda:0", "cuda:1")
    for age in (1, 2, 3, 4):
        spawn(server, age)
    assert devices_in_use(server) == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]


def test_reload_spreads_the_new_workers_while_the_old_are_still_there() -> None:
    server = arbiter("cuda:0", "cuda:1")
    old = [spawn(server, age) for age in (1, 2, 3)]
    server.num_workers = 1
    hooks.on_reload(server)
    assert server.num_workers == server.cfg.workers == 2
    new = [spawn(server, age) for age in (4, 5)]
    assert {worker.device for worker in new} == {"cuda:0", "cuda:1"}
    assert {worker.generation for worker in new} == {1}
    assert not any(worker.first for worker in new)
    assert all(worker.first for worker in old[:2])


def test_a_workers_number_is_free_until_it_is_dead() -> None:
    server = arbiter("cpu", "cpu")
    assert [spawn(server, age).number for age in (1, 2)] == [0, 1]
    hooks.on_reload(server)
    assert [spawn(server, age).number for age in (3, 4)] == [2, 3]
    del server.WORKERS[1], server.WORKERS[2]
    hooks.on_reload(server)
    assert [spawn(server, age).number for age in (5, 6, 7)] == [0, 1, 4]


def test_the_arbiter_sees_when_a_worker_serves() -> None:
    worker = spawn(arbiter("cpu"), 1)
    assert not worker.serving[0]
    if not (child := os.fork()):
        worker.serving[0] = True
        os._exit(0)
    os.waitpid(child, 0)
    assert worker.serving[0]


def test_workers_of_one_instance_count_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/of/somebody/else")
    shared: list[bool] = []
    monkeypatch.setattr(hooks.memory, "limit_arenas", lambda: shared.append(True))
    server, runtime = SimpleNamespace(metrics_folder=tmp_path), FakeRuntime()
    worker = worker_of(runtime, number=1)
    hooks.post_fork(server, worker)
    assert (runtime.told, shared) == ([(tmp_path, 1)], [True])
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(tmp_path)


def test_a_dead_worker_has_no_requests_in_progress(tmp_path: Path) -> None:
    server = arbiter("cpu")
    server.metrics_folder = tmp_path
    worker = spawn(server, 1)
    worker.number = 1
    for name in ("gauge_livesum_0.db", "gauge_livesum_1.db", "counter_1.db", "worker-1.sock"):
        (tmp_path / name).touch()
    hooks.child_exit(server, worker)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_1.db", "gauge_livesum_0.db"]
    assert worker.serving.closed


def test_worker_starts_and_stops_its_runtime() -> None:
    runtime = FakeRuntime()
    worker = worker_of(runtime, device="cuda:1", checkpoint=CHECKPOINT)
    hooks.post_worker_init(worker)
    hooks.worker_exit(arbiter(), worker)
    assert runtime.told == [("cuda:1", CHECKPOINT), ("join", Path("/run/whisper"), 0), "close"]
    assert worker.log.levels == ["info"]
    assert worker.serving[0]


def test_notice_is_logged() -> None:
    runtime = FakeRuntime()
    runtime.notice = "a toy"
    worker = worker_of(runtime)
    hooks.post_worker_init(worker)
    assert worker.log.levels == ["info", "warning"]
    assert worker.log.lines[1] == "A toy"


@pytest.mark.parametrize(
    ("failure", "level"), [(CheckpointError("damaged"), "error"), (RuntimeError("no memory"), "exception")]
)
def test_failure_at_the_first_start_stops_the_server(failure: Exception, level: str) -> None:
    worker = worker_of(FakeRuntime(failure), first=True, checkpoint=CHECKPOINT)
    with pytest.raises(SystemExit) as caught:
        hooks.post_worker_init(worker)
    assert caught.value.code == Arbiter.WORKER_BOOT_ERROR
    assert worker.log.levels == [level]
    assert not worker.serving[0]


def test_failure_later_waits_and_ends_the_worker_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(hooks.time, "sleep", slept.append)
    worker = worker_of(FakeRuntime(RuntimeError("no memory")), first=False)
    with pytest.raises(SystemExit) as caught:
        hooks.post_worker_init(worker)
    assert caught.value.code not in (0, Arbiter.WORKER_BOOT_ERROR, Arbiter.APP_LOAD_ERROR)
    assert slept == [hooks.RETRY_SECONDS]
    assert not worker.serving[0]
