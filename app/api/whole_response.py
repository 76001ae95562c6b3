"""An answer that is sent once all of it is made; while it is, blanks may keep the connection alive."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack
from itertools import chain

from flask import Response

from app.api import current_runtime
from app.api.application import incoming
from app.api.late_failure import LateFailure
from app.background import run_in_background
from app.formats.wire import dump_json

JSON = "application/json"
SHORT_CONTEXT_NOTICE = "short audio context, no longer exact"
_BLANK = " "


def whole_response(make: Callable[[], str], content_type: str, on_close: Callable[[], object]) -> Response:
    """Answer with what `make` returns. `on_close` is called once, after the answer was sent or given up.

    With WHISPER_KEEPALIVE_SECONDS a JSON answer that takes longer is a 200 whose body begins with a blank
    every so many seconds; what fails then becomes an error body. All else is raised.
    """
    seconds = current_runtime().settings.keepalive_seconds
    with ExitStack() as held:
        held.callback(on_close)
        kept_alive = seconds and content_type == JSON
        body = _with_blanks(make, seconds, held) if kept_alive else make()
        response = Response(body, content_type=content_type)
        response.call_on_close(held.pop_all().close)
        return response


def with_notice(response: Response, model_notice: str | None, *, may_shorten: bool) -> Response:
    """The same answer with what everybody must be told of the model and of a short context, if anything.

    `may_shorten`: whether windows of the request may have one. If the headers are sent before the whole
    answer is known, that is what they say; otherwise they say whether any text is of one.
    """
    used = response.is_streamed or incoming().cost.totals().short_contexts > 0
    short = SHORT_CONTEXT_NOTICE if may_shorten and used else None
    if notices := [notice for notice in (model_notice, short) if notice]:
        response.headers["x-model-notice"] = "; ".join(notices)
    return response


def _with_blanks(make: Callable[[], str], seconds: int, held: ExitStack) -> str | Iterator[str]:
    """Raises what fails before the first blank."""
    made = run_in_background(make, "whole-response")
    held.callback(wait, [made])
    held.callback(incoming().abandon)
    if wait([made], seconds).done:
        return made.result()
    return chain([_BLANK], _blanks_then_body(made, seconds, LateFailure()))


def _blanks_then_body(made: Future[str], seconds: int, failure: LateFailure) -> Iterator[str]:
    while not wait([made], seconds).done:
        yield _BLANK
    try:
        yield made.result()
    except Exception as error:
        if body := failure.body(error):
            yield dump_json(body)
