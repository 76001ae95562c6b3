"""What all requests for sessions share: the open ones of this worker, and the secrets of this server."""

from typing import cast

from flask import current_app

from app.realtime.client_secrets import ClientSecrets
from app.realtime.sessions import Sessions

SESSIONS, SECRETS = "realtime", "client_secrets"
"""The names of the application's extensions."""


def worker_sessions() -> Sessions:
    """The open sessions of this worker."""
    return cast(Sessions, current_app.extensions[SESSIONS])


def client_secrets() -> ClientSecrets:
    """The secrets, which all workers know."""
    return cast(ClientSecrets, current_app.extensions[SECRETS])
