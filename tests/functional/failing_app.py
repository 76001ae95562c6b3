"""The server with an engine that can fail, for Gunicorn as `tests.functional.failing_app:app`."""

from app import create_app
from app.engines import ENGINES

ENGINES["batched"] = "tests.functional.failing_engine"

app = create_app()
