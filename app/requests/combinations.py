"""Checks of fields that depend on each other; the schema has checked each field alone."""

from itertools import pairwise
from typing import Any

from app.errors import InvalidParameter, UnsupportedValue, listed
from app.formats import FORMATS

Fields = dict[str, Any]

DIARIZE = "gpt-4o-transcribe-diarize"
"""The one model name that changes the answer: with it, speakers are separated."""

_FORMATS_WITHOUT_SPEAKERS = ("srt", "verbose_json", "vtt")
_PARAMETERS_NOT_WITH_DIARIZE = ("prompt", "keywords", "include", "timestamp_granularities")
_EXCLUSIVE = (
    ("max_words_per_line", "max_line_width"),
    ("clip_timestamps", "chunking_strategy"),
)


def check_combinations(fields: Fields) -> None:
    """Raise InvalidParameter or UnsupportedValue for the first two fields that exclude each other."""
    format_name = fields.get("response_format", "json")
    if fields.get("model") == DIARIZE:
        _check_diarize(fields, format_name)
    if fields.get("stream") and FORMATS[format_name].events is None:
        streamed = [name for name, known in FORMATS.items() if known.events]
        raise _incompatible(format_name, "'stream'", streamed)
    if fields.get("timestamp_granularities") != ["segment"]:  # the default; Vercel's SDK always sends it
        _check_requires_format(fields, format_name, "timestamp_granularities", "verbose_json")
    _check_requires_format(fields, format_name, "include", "json")
    for name, other in _EXCLUSIVE:
        if name in fields and other in fields:
            raise InvalidParameter(f"The parameters '{name}' and '{other}' exclude each other.", param=name)
    _check_names(fields.get("known_speaker_names", []))
    _check_clips(fields.get("clip_timestamps", []))
    _check_beam(fields.get("beam_size"), fields.get("patience", 1.0))


def _check_diarize(fields: Fields, format_name: str) -> None:
    if format_name in _FORMATS_WITHOUT_SPEAKERS:
        offered = [name for name in FORMATS if name not in _FORMATS_WITHOUT_SPEAKERS]
        raise _incompatible(format_name, f"model '{DIARIZE}'", offered)
    for name in _PARAMETERS_NOT_WITH_DIARIZE:
        if fields.get(name):
            raise UnsupportedValue(
                f"The parameter '{name}' is not compatible with model '{DIARIZE}'.", param=name
            )


def _incompatible(format_name: str, what: str, offered: list[str]) -> UnsupportedValue:
    return UnsupportedValue(
        f"response_format '{format_name}' is not compatible with {what}. "
        f"Use one of {listed(offered)} instead.",
        param="response_format",
    )


def _check_requires_format(fields: Fields, format_name: str, name: str, needed: str) -> None:
    if fields.get(name) and format_name != needed:
        raise InvalidParameter(
            f"The parameter '{name}' requires 'response_format' to be '{needed}', but got '{format_name}'.",
            param=name,
        )


def _check_names(names: list[str]) -> None:
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise InvalidParameter(
            f"Invalid 'known_speaker_names': expected a name of its own for each speaker, but got "
            f"{twice[0]!r} twice.",
            param="known_speaker_names",
        )


def _check_clips(seconds: list[float]) -> None:
    if any(later < earlier for earlier, later in pairwise(seconds)):
        raise InvalidParameter(
            f"Invalid 'clip_timestamps': {seconds[:8]}. Expected start,end,start,... in ascending seconds.",
            param="clip_timestamps",
        )


def _check_beam(beam_size: int | None, patience: float) -> None:
    """A beam search ends with round(beam_size x patience) candidates; openai-whisper fails at none."""
    if beam_size is not None and round(beam_size * patience) < 1:
        raise InvalidParameter(
            f"Invalid 'patience': {patience}. Expected a value above {0.5 / beam_size} "
            f"with 'beam_size' {beam_size}.",
            param="patience",
        )
