"""Probes: `/health` for the process, `/ready` for the model."""

from flask import Blueprint

from app.api import current_runtime
from app.errors import ServerBusy

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
def health() -> dict[str, str]:
    """200 as long as the process answers requests."""
    return {"status": "ok"}


@blueprint.get("/ready")
def ready() -> dict[str, str]:
    """200 while the engine takes work, else 503."""
    if not current_runtime().ready:
        raise ServerBusy("The model is not ready.")
    return {"status": "ready"}
