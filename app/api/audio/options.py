"""Checked fields -> what the transcription is told, and what the format is told.

The schema has checked each field alone, `combinations` checks what they are to each other.
"""

from typing import Any

from app.api.audio.combinations import DIARIZE, Fields, check_combinations
from app.errors import InvalidLanguage, InvalidParameter
from app.formats import FORMATS, Format, RenderOptions
from app.languages import language_code
from app.transcript import Task
from app.transcription.request import Chunking, TranscriptionRequest, temperature_ladder

_NOT_SENT = object()
_AS_SENT = (
    "condition_on_previous_text",
    "carry_initial_prompt",
    "compression_ratio_threshold",
    "logprob_threshold",
    "no_speech_threshold",
    "hallucination_silence_threshold",
    "beam_size",
    "best_of",
    "patience",
    "length_penalty",
    "suppress_blank",
    "seed",
)
_TELLS_LANGUAGES = "gpt-transcribe"
_CHUNKING = {
    "threshold": ("threshold", 1.0),
    "silence_duration_ms": ("silence_seconds", 0.001),
    "prefix_padding_ms": ("padding_seconds", 0.001),
}
"""OpenAI's key -> our name, and its unit in ours."""


def transcription_request(fields: Fields, task: Task) -> TranscriptionRequest:
    """What to find out about the recording. Raises InvalidLanguage, InvalidParameter, UnsupportedValue.

    As in openai-whisper, `beam_size` and `patience` count at temperature 0 only, `best_of` above it only.
    """
    check_combinations(fields)
    options = {name: fields[name] for name in _AS_SENT if name in fields}
    if "suppress_tokens" in fields:
        options["suppress_tokens"] = tuple(fields["suppress_tokens"] or ())
    form, wishes = rendering(fields, task)
    by_channel = _tells_speakers_apart(fields)
    skips_silence = options.get("hallucination_silence_threshold") is not None
    language, languages = _spoken(fields)
    return TranscriptionRequest(
        task=task,
        language=language,
        languages=languages,
        prompt=_prompt(fields.get("prompt"), fields.get("keywords", [])),
        temperatures=_temperatures(fields),
        clip_seconds=tuple(fields.get("clip_timestamps", [])),
        # A segment's own start may be that of the silence before it, and speakers are merged by time.
        word_timestamps=form.needs_words(wishes) or skips_silence or by_channel,
        logprobs=wishes.logprobs,
        chunking=_chunking(fields.get("chunking_strategy")),
        by_channel=by_channel,
        speaker_names=tuple(fields.get("known_speaker_names", [])),
        **options,
    )


def rendering(fields: Fields, task: Task) -> tuple[Format, RenderOptions]:
    """The format asked for, and what it shall show. Translations are always billed by duration."""
    model = fields.get("model", "")
    wishes = RenderOptions(
        granularities=frozenset(fields.get("timestamp_granularities") or ["segment"]),
        max_line_width=fields.get("max_line_width"),
        max_line_count=fields.get("max_line_count"),
        max_words_per_line=fields.get("max_words_per_line"),
        logprobs="logprobs" in fields.get("include", []),
        languages=model == _TELLS_LANGUAGES,
        token_usage=model.startswith("gpt-") and task == "transcribe",
    )
    return FORMATS[fields.get("response_format", "json")], wishes


def _tells_speakers_apart(fields: Fields) -> bool:
    return fields.get("model") == DIARIZE or fields.get("response_format") == "diarized_json"


def _spoken(fields: Fields) -> tuple[str | None, tuple[str, ...]]:
    """The language, if it was told, and those among which it is detected otherwise."""
    sent = fields.get("language", "auto")
    language = None if sent.strip().lower() == "auto" else known_language(sent, "language")
    languages = tuple(known_language(each, "languages") for each in fields.get("languages", []))
    if language and languages and language not in languages:
        raise InvalidParameter(
            f"The parameters 'language' and 'languages' contradict each other: '{sent}' is not listed.",
            param="languages",
        )
    return language, languages


def known_language(sent: str, param: str) -> str:
    """The code of a language that Whisper knows. Raises InvalidLanguage."""
    code = language_code(sent)
    if code is None:
        raise InvalidLanguage(
            f"Invalid language '{sent}'. Language parameter must be specified in ISO-639-1 format.",
            param=param,
        )
    return code


def _prompt(prompt: str | None, keywords: list[str]) -> str | None:
    """The keywords as text before the recording, nearest to it: a long prompt is cut at its start."""
    words = ", ".join(word.strip() for word in keywords if word.strip())
    return f"{prompt or ''} {words}".strip() if words else prompt


def _chunking(sent: str | dict[str, Any] | None) -> Chunking | None:
    """Where the recording may be cut; `auto` leaves all of it to the defaults."""
    if sent is None or isinstance(sent, str):
        return Chunking() if sent else None
    given = {name: sent[key] * scale for key, (name, scale) in _CHUNKING.items() if key in sent}
    return Chunking(**given)


def _temperatures(fields: Fields) -> tuple[float, ...]:
    """An increment of null means no fallback; one that was not sent means the usual ladder."""
    increment = fields.get("temperature_increment_on_fallback", _NOT_SENT)
    if increment is _NOT_SENT:
        return temperature_ladder(fields.get("temperature", 0.0), None)
    return temperature_ladder(fields.get("temperature", 0.0), increment or 0.0)
