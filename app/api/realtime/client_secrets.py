"""POST /v1/realtime/client_secrets."""

from time import time
from typing import Any

from app.api.access import caller
from app.api.bodies import read_json
from app.api.realtime.services import worker_services
from app.api.schemas import CLIENT_SECRET
from app.api.worker_sessions import client_secrets
from app.realtime.client_secrets import ClientSecret
from app.realtime.configuration import Configuration
from app.realtime.events import new_id

_DEFAULT_SECONDS = 600
_DEFAULT_SESSION = {"type": "transcription"}


def create_client_secret() -> dict[str, Any]:
    """A key that opens realtime sessions for some minutes, and nothing else."""
    fields = read_json(CLIENT_SECRET)
    session = fields.get("session", _DEFAULT_SESSION)
    configuration = Configuration().updated(session, worker_services().parse)
    seconds = fields.get("expires_after", {}).get("seconds", _DEFAULT_SECONDS)
    secret = ClientSecret(int(time()) + seconds, caller(), session)
    return {
        "value": client_secrets().create(secret),
        "expires_at": secret.expires_at,
        "session": {
            "id": new_id("sess"),
            "object": "realtime.transcription_session",
            "expires_at": 0,
            **configuration.described,
        },
    }
