"""Gunicorn's settings: each is one that Gunicorn knows, and none is decided there that belongs elsewhere."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from gunicorn.config import Config

from app.admission import THREADS
from app.server.logger import OneFormatLogger
from app.server.worker import SpeechWorker

CONF = Path(__file__).resolve().parents[2] / "gunicorn.conf.py"
MAX_LINES = 80
ENVIRONMENT = ("HOST", "PORT", "WHISPER_REQUEST_SECONDS")


def load_conf() -> ModuleType:
    spec = spec_from_file_location("gunicorn_conf", CONF)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def conf(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return load_conf()


def test_it_is_short() -> None:
    assert len(CONF.read_text().splitlines()) < MAX_LINES


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


def test_nothing_else_is_public(conf: ModuleType) -> None:
    imported = {"sys", "Path", "THREADS", "StartError", "OneFormatLogger", "SpeechWorker", "Settings"}
    public = {name for name in vars(conf) if not name.startswith("_")}
    assert public - imported <= Config().settings.keys()


def test_there_are_as_many_threads_as_are_shared_out(conf: ModuleType) -> None:
    assert conf.threads == THREADS
    assert conf.worker_connections > 2 * conf.threads


def test_the_servers_own_classes(conf: ModuleType) -> None:
    assert (conf.worker_class, conf.logger_class) == (SpeechWorker, OneFormatLogger)


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
