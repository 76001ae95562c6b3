"""Word times: assigns an alignment's words to the segments of their window.

The rules are those of openai-whisper's word timestamps: long words next to a pause or the end of a
sentence are cut to twice the window's median, punctuation joins its word, and segments take the
times of their first and last word.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from app.engines.interface import FRAMES_PER_SECOND, WordTiming
from app.transcript import Word
from app.transcription.segments import Draft

# ruff: noqa: RUF001 (full-width punctuation is meant)
PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"
_SENTENCE_ENDS = ".。!！?？"
_LONGEST_MEDIAN_SECONDS = 0.7
_TOLERANCE_SECONDS = 0.5


@dataclass(frozen=True)
class Pace:
    """The durations of a window's words: the median, and the longest of a word next to a pause."""

    median_seconds: float

    @property
    def longest_seconds(self) -> float:
        """Twice the median."""
        return self.median_seconds * 2

    @classmethod
    def of(cls, timings: Sequence[WordTiming]) -> "Pace":
        """The pace of aligned words; those without duration don't count."""
        durations = [timing.end_seconds - timing.start_seconds for timing in timings]
        lasting = [duration for duration in durations if duration]
        return cls(min(_LONGEST_MEDIAN_SECONDS, median(lasting)) if lasting else 0.0)


def assign_words(
    drafts: Sequence[Draft],
    timings: Sequence[WordTiming],
    eot: int,
    seek: int,
    last_speech_seconds: float,
) -> None:
    """Give each draft its words and the times that follow from them.

    `timings` cover the text tokens of all drafts in order, `eot` is the first token that is no
    text, `last_speech_seconds` the end of the last word before this window.
    """
    pace = Pace.of(timings)
    words = iter(join_punctuation(shorten_at_sentence_ends(timings, pace)))
    for draft in drafts:
        text_tokens = sum(token < eot for token in draft.tokens)
        draft.words = _next_words(words, text_tokens, seek / FRAMES_PER_SECOND)
        if draft.words:
            _shorten_after_pause(draft.words, pace, last_speech_seconds)
            _adjust_start(draft, pace)
            _adjust_end(draft, pace)
            last_speech_seconds = draft.end_seconds


def shorten_at_sentence_ends(timings: Sequence[WordTiming], pace: Pace) -> list[WordTiming]:
    """Shorten a word that lasts too long at the end of a sentence or right after one."""
    kept = list(timings)
    for i in range(1, len(kept)):
        word = kept[i]
        if word.end_seconds - word.start_seconds <= pace.longest_seconds:
            continue
        if word.text in _SENTENCE_ENDS:
            kept[i] = replace(word, end_seconds=word.start_seconds + pace.longest_seconds)
        elif kept[i - 1].text in _SENTENCE_ENDS:
            kept[i] = replace(word, start_seconds=word.end_seconds - pace.longest_seconds)
    return kept


def join_punctuation(timings: Sequence[WordTiming]) -> list[WordTiming]:
    """Join opening punctuation to the word after it and closing punctuation to the word before.

    The joined word keeps its own times; what was joined stays as a timing without text or tokens.
    """
    return _join_closing(_join_opening(list(timings)))


def _join_opening(timings: list[WordTiming]) -> list[WordTiming]:
    following = len(timings) - 1
    for i in range(len(timings) - 2, -1, -1):
        text = timings[i].text
        if text.startswith(" ") and text.strip() in PREPENDED:
            _absorb(timings, following, i, text + timings[following].text)
        else:
            following = i
    return timings


def _join_closing(timings: list[WordTiming]) -> list[WordTiming]:
    previous = 0
    for i in range(1, len(timings)):
        text = timings[previous].text
        if not text.endswith(" ") and timings[i].text in APPENDED:
            _absorb(timings, previous, i, text + timings[i].text)
        else:
            previous = i
    return timings


def _absorb(timings: list[WordTiming], keeper: int, joined: int, text: str) -> None:
    first, second = sorted((keeper, joined))
    tokens = timings[first].tokens + timings[second].tokens
    timings[keeper] = replace(timings[keeper], text=text, tokens=tokens)
    timings[joined] = replace(timings[joined], text="", tokens=())


def _next_words(timings: Iterator[WordTiming], text_tokens: int, offset_seconds: float) -> list[Word]:
    """The next words, until they cover so many tokens."""
    words: list[Word] = []
    covered = 0
    while covered < text_tokens and (timing := next(timings, None)) is not None:
        covered += len(timing.tokens)
        if timing.text:
            words.append(
                Word(
                    text=timing.text,
                    start_seconds=round(offset_seconds + timing.start_seconds, 2),
                    end_seconds=round(offset_seconds + timing.end_seconds, 2),
                    probability=timing.probability,
                )
            )
    return words


def _shorten_after_pause(words: list[Word], pace: Pace, last_speech_seconds: float) -> None:
    """Shorten the first word, or the first two, if they are too long and follow a pause."""
    first, longest = words[0], pace.longest_seconds
    if first.end_seconds - last_speech_seconds <= pace.median_seconds * 4:
        return
    second = words[1] if len(words) > 1 else None
    long_first = first.end_seconds - first.start_seconds > longest
    long_pair = second is not None and second.end_seconds - first.start_seconds > longest * 2
    if not (long_first or long_pair):
        return
    if second is not None and second.end_seconds - second.start_seconds > longest:
        boundary = max(second.end_seconds / 2, second.end_seconds - longest)
        first = replace(first, end_seconds=boundary)
        words[1] = replace(second, start_seconds=boundary)
    words[0] = replace(first, start_seconds=max(0, first.end_seconds - longest))


def _adjust_start(draft: Draft, pace: Pace) -> None:
    """Set the segment's start to its first word's, unless the word begins long before the segment."""
    first = draft.words[0]
    if (
        draft.start_seconds - _TOLERANCE_SECONDS > first.start_seconds
        and draft.start_seconds < first.end_seconds
    ):
        start = max(0, min(first.end_seconds - pace.median_seconds, draft.start_seconds))
        draft.words[0] = replace(first, start_seconds=start)
    else:
        draft.start_seconds = first.start_seconds


def _adjust_end(draft: Draft, pace: Pace) -> None:
    """Set the segment's end to its last word's, unless the word ends long after the segment."""
    last = draft.words[-1]
    if last.start_seconds < draft.end_seconds and draft.end_seconds + _TOLERANCE_SECONDS < last.end_seconds:
        end = max(last.start_seconds + pace.median_seconds, draft.end_seconds)
        draft.words[-1] = replace(last, end_seconds=end)
    else:
        draft.end_seconds = last.end_seconds
