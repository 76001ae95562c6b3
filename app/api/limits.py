"""GET /limits: the largest request that this server takes, so that clients can check before they upload."""

from flask import Blueprint, current_app

from app.api import current_runtime

blueprint = Blueprint("limits", __name__)


@blueprint.get("/limits")
def limits() -> dict[str, int | bool]:
    """Sizes are in bytes. `key_required`: all URLs of the API require a key."""
    settings = current_runtime().settings
    return {
        "file_bytes": settings.max_upload_bytes,
        "recording_seconds": settings.max_audio_seconds,
        "key_required": bool(current_app.config["API_KEYS"]),
    }
