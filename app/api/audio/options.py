"""Checked fields -> what the transcription is told, and what the format is told.

The schema has checked each field alone; what fields must be to each other is checked here.
"""

from itertools import pairwise
from typing import Any

from app.errors import InvalidLanguage, InvalidParameter
from app.formats import FORMATS, Format, Wishes
from app.languages import language_code
from app.transcript import Task
from app.transcription.request import TranscriptionRequest, temperature_ladder

Fields = dict[str, Any]

_NOT_SENT = object()
_AS_SENT = (
    "prompt",
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


def transcription_request(fields: Fields, task: Task) -> TranscriptionRequest:
    """What to find out about the recording. Raises InvalidLanguage, InvalidParameter.

    As in openai-whisper, `beam_size` and `patience` count at temperature 0 only, `best_of` above it only.
    """
    _check_combinations(fields)
    options = {name: fields[name] for name in _AS_SENT if name in fields}
    if "suppress_tokens" in fields:
        options["suppress_tokens"] = tuple(fields["suppress_tokens"] or ())
    form, wishes = rendering(fields)
    skips_silence = options.get("hallucination_silence_threshold") is not None
    return TranscriptionRequest(
        task=task,
        language=_language(fields.get("language", "auto")),
        temperatures=_temperatures(fields),
        clip_seconds=_clips(fields.get("clip_timestamps", [])),
        word_timestamps=form.needs_words(wishes) or skips_silence,
        **options,
    )


def rendering(fields: Fields) -> tuple[Format, Wishes]:
    """The format asked for, and what it shall show."""
    wishes = Wishes(
        granularities=frozenset(fields.get("timestamp_granularities", ["segment"])),
        max_line_width=fields.get("max_line_width"),
        max_line_count=fields.get("max_line_count"),
        max_words_per_line=fields.get("max_words_per_line"),
    )
    return FORMATS[fields.get("response_format", "json")], wishes


def _language(sent: str) -> str | None:
    if sent.strip().lower() == "auto":
        return None
    code = language_code(sent)
    if code is None:
        raise InvalidLanguage(
            f"Invalid language '{sent}'. Language parameter must be specified in ISO-639-1 format.",
            param="language",
        )
    return code


def _temperatures(fields: Fields) -> tuple[float, ...]:
    """An increment of null means no fallback; one that was not sent means the usual ladder."""
    increment = fields.get("temperature_increment_on_fallback", _NOT_SENT)
    if increment is _NOT_SENT:
        return temperature_ladder(fields.get("temperature", 0.0), None)
    return temperature_ladder(fields.get("temperature", 0.0), increment or 0.0)


def _clips(seconds: list[float]) -> tuple[float, ...]:
    if any(later < earlier for earlier, later in pairwise(seconds)):
        raise InvalidParameter(
            f"Invalid 'clip_timestamps': {seconds[:8]}. Expected start,end,start,... in ascending seconds.",
            param="clip_timestamps",
        )
    return tuple(seconds)


def _check_combinations(fields: Fields) -> None:
    form = fields.get("response_format", "json")
    if "timestamp_granularities" in fields and form != "verbose_json":
        raise InvalidParameter(
            "The parameter 'timestamp_granularities' requires 'response_format' to be 'verbose_json', "
            f"but got '{form}'.",
            param="timestamp_granularities",
        )
    if "max_words_per_line" in fields and "max_line_width" in fields:
        raise InvalidParameter(
            "The parameters 'max_words_per_line' and 'max_line_width' exclude each other.",
            param="max_words_per_line",
        )
    _check_beam(fields.get("beam_size"), fields.get("patience", 1.0))


def _check_beam(beam_size: int | None, patience: float) -> None:
    """A beam search ends with round(beam_size x patience) candidates; openai-whisper fails at none."""
    if beam_size is not None and round(beam_size * patience) < 1:
        raise InvalidParameter(
            f"Invalid 'patience': {patience}. Expected a value above {0.5 / beam_size} "
            f"with 'beam_size' {beam_size}.",
            param="patience",
        )
