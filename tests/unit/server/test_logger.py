"""One format and one place for all lines."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from gunicorn.config import Config

from app.logs import FORMATTERS
from app.server.logger import OneFormatLogger


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
    OneFormatLogger(config).error("gunicorns")
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
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    loggers: list[logging.Logger],
    failure: OSError,
    told: list[str],
) -> None:
    monkeypatch.delenv("WHISPER_LOG_FORMAT", raising=False)
    config, file = Config(), tmp_path / "errors.log"
    config.set("errorlog", str(file))
    log = OneFormatLogger(config)
    try:
        raise failure
    except OSError:
        log.exception("Socket error processing request.")
    loggers[0].handlers[0].close()
    lines = file.read_text().splitlines()
    assert all(text in line for text, line in zip(told, lines, strict=False))
    assert (len(lines) == 1) is (len(told) == 1)
