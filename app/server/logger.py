"""One format and one place for Gunicorn's log lines and the application's."""

import logging
import sys
from typing import Any

from gunicorn import glogging
from gunicorn.config import Config

from app.logs import FORMATTERS
from app.settings import Settings


class OneFormatLogger(glogging.Logger):  # type: ignore[misc]
    """Gunicorn's logger, which also writes the application's lines, to the same file, in the same format.

    A `logconfig_dict` would override --log-level and --error-logfile, and switch on the access log, which
    the application's own line for each request replaces.
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
        """Log a time-out of a client as one line; Gunicorn logs every failed connection with a traceback."""
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.info("A connection was cut: its client sent nothing more")
        else:
            super().exception(msg, *args, **kwargs)
