"""What fails after the first byte of an answer, when its status is long sent."""

from typing import Any

from flask import current_app, g

from app.api.application import incoming
from app.api.error_body import describe
from app.errors import ClientGone, SpeechError
from app.logs import fields


class LateFailure:
    """Tells failures of the request being answered. Made in Flask's context, it is used outside of it."""

    def __init__(self) -> None:
        self._request = incoming()
        self._request_id = g.request_id
        self._logger = current_app.logger

    def body(self, error: Exception) -> dict[str, Any] | None:
        """The endpoint's error body, None if nobody is there to read it. The log gets the real status."""
        self._request.outcome = error.status if isinstance(error, SpeechError) else SpeechError.status
        if isinstance(error, ClientGone):
            return None
        if self._request.outcome == SpeechError.status:
            extra = fields(request_id=self._request_id)
            self._logger.error("the answer broke off", exc_info=error, extra=extra)
        return self._request.shape_error(describe(error, self._request_id))
