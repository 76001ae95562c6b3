"""What a caller asked of the body, beyond its format."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wishes:
    """How a transcript is to be rendered; every format takes what concerns it.

    `granularities` are OpenAI's `timestamp_granularities`: "segment", "word". The limits are
    openai-whisper's subtitle options, 1 or more, None for no limit: characters in a line,
    lines in a cue, words in a line. `logprobs` asks for each token's, `languages` for those that were
    heard, `token_usage` for usage in tokens where the format leaves the choice.
    """

    granularities: frozenset[str] = frozenset({"segment"})
    max_line_width: int | None = None
    max_line_count: int | None = None
    max_words_per_line: int | None = None
    logprobs: bool = False
    languages: bool = False
    token_usage: bool = False

    def asks_words(self) -> bool:
        """Whether the words are to be listed."""
        return "word" in self.granularities

    def limits_subtitles(self) -> bool:
        """Whether cues are cut by words instead of taken from the segments."""
        limits = (self.max_line_width, self.max_line_count, self.max_words_per_line)
        return any(limit is not None for limit in limits)
