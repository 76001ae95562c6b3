"""Tokens -> text, piece by piece."""

from collections.abc import Sequence

from app.engines.interface import Tokenizer

_INCOMPLETE = "\ufffd"


class TextStream:
    """Decodes tokens as they come. All pieces joined are the whole text, stripped.

    A language token in the middle is part of the text (`<|cs|>`), as in openai-whisper, but of no segment's.
    A token may be part of a character, and a blank belongs to the text only if more text follows: both
    are held back until the next tokens come.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._held_tokens: list[int] = []
        self._held_blanks = ""
        self._started = False

    def feed(self, tokens: Sequence[int]) -> str:
        """The next piece of text; may be empty."""
        self._held_tokens += tokens
        text = self._tokenizer.decode(self._held_tokens)
        if text.endswith(_INCOMPLETE):
            return ""
        self._held_tokens = []
        return self._emit(text)

    def flush(self) -> str:
        """The rest of the text, at the end."""
        text = self._tokenizer.decode(self._held_tokens)
        self._held_tokens = []
        return self._emit(text)

    def _emit(self, text: str) -> str:
        text = self._held_blanks + text if self._started else text.lstrip()
        kept = text.rstrip()
        self._held_blanks = text[len(kept) :]
        self._started = self._started or bool(kept)
        return kept
