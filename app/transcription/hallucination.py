"""openai-whisper's `hallucination_silence_threshold`: text hallucinated in silence is dropped.

A segment is suspicious when its words are improbable, very short or very long. Suspicious segments
with silence on both sides go, and the silence before them is skipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.engines.interface import FRAMES_PER_SECOND, WINDOW_FRAMES
from app.transcript import Word
from app.transcription.segments import Draft
from app.transcription.words import APPENDED, PREPENDED

_PUNCTUATION = PREPENDED + APPENDED
_WORDS_JUDGED = 8
_EDGE_SECONDS = 2.0


@dataclass(frozen=True)
class WindowContext:
    """A window's position in frames, and how long a silence must be to count."""

    seek: int
    frames: int
    recording_frames: int
    threshold_seconds: float

    @property
    def start_seconds(self) -> float:
        """The window's start."""
        return self.seek / FRAMES_PER_SECOND

    @property
    def full_end_seconds(self) -> float:
        """The end of a window of 30 s that starts here."""
        return (self.seek + WINDOW_FRAMES) / FRAMES_PER_SECOND

    @property
    def end_seconds(self) -> float:
        """The end of the window's audio."""
        return self.start_seconds + self.frames / FRAMES_PER_SECOND


def seek_after_last_word(last_word_seconds: float, window: WindowContext) -> int:
    """The next window's frame: past the window if only a short rest is left after the last word."""
    rest_seconds = window.full_end_seconds - last_word_seconds
    if rest_seconds > window.threshold_seconds:
        return round(last_word_seconds * FRAMES_PER_SECOND)
    return window.seek + window.frames


def leading_silence(drafts: Sequence[Draft], window: WindowContext) -> int | None:
    """The frame to start again from, if the first words seem hallucinated after a long silence, else None."""
    first = _first_spoken(drafts)
    if first is None or not is_suspicious(first):
        return None
    gap = first.start_seconds - window.start_seconds
    if gap <= window.threshold_seconds:
        return None
    return window.seek + round(gap * FRAMES_PER_SECOND)


def drop_hallucinations(drafts: list[Draft], window: WindowContext, last_speech_seconds: float) -> int | None:
    """Remove the first hallucinated draft and all after it, in place.

    Returns the frame to continue from, None if all drafts are kept.
    """
    speech_end_seconds = last_speech_seconds
    for i, draft in enumerate(drafts):
        if not draft.words:
            continue
        if is_suspicious(draft) and _is_isolated(draft, drafts[i + 1 :], window, speech_end_seconds):
            del drafts[i:]
            return _resume_at(draft, window)
        speech_end_seconds = draft.end_seconds
    return None


def is_suspicious(draft: Draft | None) -> bool:
    """Whether a draft's first words are too improbable, short or long to be real."""
    if draft is None or not draft.words:
        return False
    words = [word for word in draft.words if word.text not in _PUNCTUATION][:_WORDS_JUDGED]
    score = sum(_anomaly_score(word) for word in words)
    return score >= 3 or score + 0.01 >= len(words)


def _anomaly_score(word: Word) -> float:
    seconds = word.end_seconds - word.start_seconds
    score = 1.0 if word.probability < 0.15 else 0.0
    if seconds < 0.133:
        score += (0.133 - seconds) * 15
    if seconds > 2.0:
        score += seconds - 2.0
    return score


def _is_isolated(
    draft: Draft, later: Sequence[Draft], window: WindowContext, speech_end_seconds: float
) -> bool:
    """Whether silence, the window's edge or more suspicious text lies on both sides."""
    threshold = window.threshold_seconds
    following = _first_spoken(later)
    next_start = following.words[0].start_seconds if following else window.end_seconds
    before = (
        draft.start_seconds - speech_end_seconds > threshold
        or draft.start_seconds < threshold
        or draft.start_seconds - window.start_seconds < _EDGE_SECONDS
    )
    after = (
        next_start - draft.end_seconds > threshold
        or is_suspicious(following)
        or window.full_end_seconds - draft.end_seconds < _EDGE_SECONDS
    )
    return before and after


def _resume_at(draft: Draft, window: WindowContext) -> int:
    if window.recording_frames / FRAMES_PER_SECOND - draft.end_seconds < window.threshold_seconds:
        return window.recording_frames
    return round(max(window.start_seconds + 1, draft.start_seconds) * FRAMES_PER_SECOND)


def _first_spoken(drafts: Sequence[Draft]) -> Draft | None:
    return next((draft for draft in drafts if draft.words), None)
