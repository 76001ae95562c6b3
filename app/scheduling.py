"""Whose work the engine does first, where there is more than it can do."""

from enum import Enum


class SchedulingClass(Enum):
    """Where a recording comes from. Sessions share the engine with uploads, and never take all of it."""

    UPLOAD = "a request's recording"
    UTTERANCE = "an utterance of a realtime session, which is over"
    LIVE_TEXT = "an utterance of a realtime session that isn't over yet"
