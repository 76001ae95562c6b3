"""The options of a response body, beyond its format."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RenderOptions:
    """How a transcript is rendered. Each format uses the options that apply to it.

    `granularities` are OpenAI's `timestamp_granularities`: "segment", "word". The three limits are
    openai-whisper's subtitle options: characters in a line, lines in a cue, words in a line; 1 or more,
    None for no limit. `logprobs` adds each token's log probability, `languages` the detected languages;
    `token_usage` counts usage in tokens instead of seconds, in formats that allow both.
    """

    granularities: frozenset[str] = frozenset({"segment"})
    max_line_width: int | None = None
    max_line_count: int | None = None
    max_words_per_line: int | None = None
    logprobs: bool = False
    languages: bool = False
    token_usage: bool = False

    def asks_words(self) -> bool:
        """Whether the words are listed."""
        return "word" in self.granularities

    def limits_subtitles(self) -> bool:
        """Whether cues are cut by words instead of taken from the segments."""
        limits = (self.max_line_width, self.max_line_count, self.max_words_per_line)
        return any(limit is not None for limit in limits)
