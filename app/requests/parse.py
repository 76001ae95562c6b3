"""Checked fields -> one request: what to transcribe, and the form of the answer.

The schema has checked each field alone; `combinations` checks fields that depend on each other.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from app.engines.interface import DecodingOptions
from app.errors import InvalidLanguage, InvalidParameter
from app.formats import FORMATS, Format, RenderOptions
from app.languages import language_code
from app.requests.combinations import DIARIZE, Fields, check_combinations
from app.transcript import Task
from app.transcription.request import Chunking, TranscriptionRequest, temperature_ladder

_ABSENT = object()
_SAME_NAMES = (
    "condition_on_previous_text",
    "carry_initial_prompt",
    "compression_ratio_threshold",
    "logprob_threshold",
    "no_speech_threshold",
    "hallucination_silence_threshold",
    "audio_context",
)
_SAME_DECODING_NAMES = ("beam_size", "best_of", "patience", "length_penalty", "suppress_blank", "seed")
_MODEL_WITH_LANGUAGES = "gpt-transcribe"
_CHUNKING = {
    "threshold": ("threshold", 1.0),
    "silence_duration_ms": ("silence_seconds", 0.001),
    "prefix_padding_ms": ("padding_seconds", 0.001),
}
"""OpenAI's key -> our name, and its unit in ours."""


@dataclass(frozen=True)
class AudioRequest:
    """A request for one recording: what to transcribe, and the format of the answer with its options."""

    transcription: TranscriptionRequest
    format: Format
    render_options: RenderOptions
    streamed: bool = False


def parse(fields: Fields, task: Task, ignored_prompts: Collection[str] = ()) -> AudioRequest:
    """The request behind a body's fields. Raises InvalidLanguage, InvalidParameter, UnsupportedValue.

    A prompt that is one of `ignored_prompts` counts as not sent. As in openai-whisper, `beam_size` and
    `patience` count at temperature 0 only, `best_of` above it only.
    """
    check_combinations(fields)
    if fields.get("prompt", "").strip() in ignored_prompts:
        fields = {name: value for name, value in fields.items() if name != "prompt"}
    answer_format = FORMATS[fields.get("response_format", "json")]
    render_options = _render_options(fields, task)
    needs_words = answer_format.needs_words(render_options)
    return AudioRequest(
        _transcription(fields, task, needs_words=needs_words, logprobs=render_options.logprobs),
        answer_format,
        render_options,
        bool(fields.get("stream")),
    )


def _transcription(fields: Fields, task: Task, *, needs_words: bool, logprobs: bool) -> TranscriptionRequest:
    options = _subset(fields, _SAME_NAMES)
    by_channel = _by_channel(fields)
    skips_silence = options.get("hallucination_silence_threshold") is not None
    language, languages = _languages(fields)
    return TranscriptionRequest(
        task=task,
        language=language,
        languages=languages,
        prompt=_prompt(fields.get("prompt"), fields.get("keywords", [])),
        temperatures=_temperatures(fields),
        clip_seconds=tuple(fields.get("clip_timestamps", [])),
        word_timestamps=needs_words or skips_silence,
        logprobs=logprobs,
        chunking=_chunking(fields.get("chunking_strategy")),
        by_channel=by_channel,
        mono_is_plain=by_channel and fields.get("response_format") != "diarized_json",
        speaker_names=tuple(fields.get("known_speaker_names", [])),
        decoding=_decoding(fields),
        **options,
    )


def _decoding(fields: Fields) -> DecodingOptions:
    options = _subset(fields, _SAME_DECODING_NAMES)
    if "suppress_tokens" in fields:
        options["suppress_tokens"] = tuple(fields["suppress_tokens"] or ())
    return DecodingOptions(**options)


def _subset(fields: Fields, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}


def _render_options(fields: Fields, task: Task) -> RenderOptions:
    """The options of the format. Translations are always billed by duration."""
    model = fields.get("model", "")
    return RenderOptions(
        granularities=frozenset(fields.get("timestamp_granularities") or ["segment"]),
        max_line_width=fields.get("max_line_width"),
        max_line_count=fields.get("max_line_count"),
        max_words_per_line=fields.get("max_words_per_line"),
        logprobs="logprobs" in fields.get("include", []),
        languages=model == _MODEL_WITH_LANGUAGES,
        token_usage=model.startswith("gpt-") and task == "transcribe",
    )


def _by_channel(fields: Fields) -> bool:
    return fields.get("model") == DIARIZE or fields.get("response_format") == "diarized_json"


def _languages(fields: Fields) -> tuple[str | None, tuple[str, ...]]:
    """The language, None to detect it, and the languages among which it is detected."""
    name = fields.get("language", "auto")
    language = None if name.strip().lower() == "auto" else known_language(name, "language")
    languages = tuple(known_language(each, "languages") for each in fields.get("languages", []))
    if language and languages and language not in languages:
        raise InvalidParameter(
            f"The parameters 'language' and 'languages' contradict each other: '{name}' is not listed.",
            param="languages",
        )
    return language, languages


def known_language(name: str, param: str) -> str:
    """The code of a language that Whisper supports, by code or English name. Raises InvalidLanguage."""
    code = language_code(name)
    if code is None:
        raise InvalidLanguage(
            f"Invalid language '{name}'. Language parameter must be specified in ISO-639-1 format.",
            param=param,
        )
    return code


def _prompt(prompt: str | None, keywords: list[str]) -> str | None:
    """The prompt, and after it the keywords: a prompt that is too long is cut at its start."""
    words = ", ".join(word.strip() for word in keywords if word.strip())
    return f"{prompt or ''} {words}".strip() if words else prompt


def _chunking(strategy: str | dict[str, Any] | None) -> Chunking | None:
    """Where the recording may be cut; `auto` means the defaults."""
    if strategy is None or isinstance(strategy, str):
        return Chunking() if strategy else None
    values = {name: strategy[key] * scale for key, (name, scale) in _CHUNKING.items() if key in strategy}
    return Chunking(**values)


def _temperatures(fields: Fields) -> tuple[float, ...]:
    """An increment of null means no fallback; one that was not sent means the usual ladder."""
    increment = fields.get("temperature_increment_on_fallback", _ABSENT)
    if increment is _ABSENT:
        return temperature_ladder(fields.get("temperature", 0.0), None)
    return temperature_ladder(fields.get("temperature", 0.0), increment or 0.0)
