"""One format and one place for Gunicorn's log lines and the application's."""

import logging
import sys
from typing import Any

from gunicorn import glogging
from gunicorn.config import Config

from app.logs import FORMATTERS
from app.settings import Settings


class OneFormatLogger(glogging.Logger):  # type: ignore[misc]
    """Gunicorn's logger, whose file, level and format hold for the application's lines too.

    A `logconfig_dict` would fix all three, so that --log-level and --error-logfile did nothing, and
    switch on the access log, which the application's own line for each request replaces.
    """

    def setup(self, cfg: Config) -> None:
        """Gunicorn calls this at the start and on SIGHUP."""
        super().setup(cfg)
        formatter = FORMATTERS[Settings.from_environ().log_format]
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(formatter())
        logging.getLogger().handlers = self.error_log.handlers
        logging.getLogger("app").setLevel(self.loglevel)

    def exception(self, msg: str, *args: object, **kwargs: Any) -> None:
        """Gunicorn tells every failure of a connection with its traceback, even a client's silence."""
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.info("A connection was cut: its client sent nothing more")
        else:
            super().exception(msg, *args, **kwargs)
