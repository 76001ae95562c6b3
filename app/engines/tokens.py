"""openai-whisper's tokenizer behind the engines' interface."""

from collections.abc import Sequence
from typing import Any, cast

from whisper.tokenizer import LANGUAGES, get_tokenizer

from app.engines.interface import Tokenizer
from app.transcript import Task


class TokenizerTable:
    """The tokenizers of one checkpoint, which has the first `num_languages` of Whisper's languages."""

    def __init__(self, multilingual: bool, num_languages: int) -> None:
        self._multilingual = multilingual
        self._num_languages = num_languages
        self.languages = tuple(LANGUAGES)[:num_languages] if multilingual else ("en",)

    def get(self, language: str | None, task: Task) -> Tokenizer:
        """The tokenizer of a language and task. Without a language it is for text tokens only."""
        return TextTokenizer(self.whisper(language, task))

    def prompt(
        self, previous: Sequence[int], language: str | None, task: Task, text_context: int
    ) -> list[int]:
        """The prompt of a window: the end of the previous text's tokens, then language and task."""
        tokenizer = self.whisper(language, task)
        kept = list(previous)[-(text_context // 2 - 1) :]
        return [*([tokenizer.sot_prev, *kept] if kept else []), *tokenizer.sot_sequence]

    def whisper(self, language: str | None, task: Task) -> Any:
        """openai-whisper's own tokenizer, which it caches."""
        return get_tokenizer(
            self._multilingual, num_languages=self._num_languages, language=language, task=task
        )


class TextTokenizer:
    """A Tokenizer over `whisper.tokenizer.Tokenizer`."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.eot: int = tokenizer.eot
        self.timestamp_begin: int = tokenizer.timestamp_begin

    def encode(self, text: str) -> list[int]:
        """Text as tokens. The names of special tokens are encoded as plain text."""
        return cast(list[int], self._tokenizer.encode(text, disallowed_special=()))

    def decode(self, tokens: Sequence[int]) -> str:
        """Tokens as text, timestamps left out."""
        return cast(str, self._tokenizer.decode(list(tokens)))

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one text token."""
        return cast(bytes, self._tokenizer.encoding.decode_single_token_bytes(token))
