import pytest

from app.api.audio.options import rendering, transcription_request
from app.api.schemas import TRANSCRIPTION
from app.errors import InvalidLanguage, InvalidParameter
from app.formats import FORMATS, Wishes
from app.transcription.request import LADDER, TranscriptionRequest


def test_no_fields_are_openai_whispers_defaults():
    assert transcription_request({}, "transcribe") == TranscriptionRequest()
    assert transcription_request({}, "translate") == TranscriptionRequest(task="translate")
    assert rendering({}) == (FORMATS["json"], Wishes())


def test_the_schemas_formats_are_those_there_are():
    assert set(TRANSCRIPTION.schema["properties"]["response_format"]["enum"]) <= set(FORMATS)


@pytest.mark.parametrize(
    ("sent", "code"),
    [("de", "de"), ("DE", "de"), ("German", "de"), ("auto", None), ("AUTO", None), (" yue ", "yue")],
)
def test_languages(sent, code):
    assert transcription_request({"language": sent}, "transcribe").language == code


@pytest.mark.parametrize("sent", ["xx", "en-US", "deu", "auto detect", "-"])
def test_wrong_languages(sent):
    with pytest.raises(InvalidLanguage, match="ISO-639-1") as caught:
        transcription_request({"language": sent}, "transcribe")
    assert caught.value.param == "language"


@pytest.mark.parametrize(
    ("fields", "ladder"),
    [
        ({}, LADDER),
        ({"temperature": 0.0}, LADDER),
        ({"temperature": 0.3}, (0.3,)),
        ({"temperature_increment_on_fallback": None}, (0.0,)),
        ({"temperature_increment_on_fallback": 0.0}, (0.0,)),
        ({"temperature_increment_on_fallback": 0.5}, (0.0, 0.5, 1.0)),
        ({"temperature": 0.5, "temperature_increment_on_fallback": 0.25}, (0.5, 0.75, 1.0)),
    ],
)
def test_temperatures(fields, ladder):
    assert transcription_request(fields, "transcribe").temperatures == ladder


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", "Names: Ada."),
        ("condition_on_previous_text", False),
        ("carry_initial_prompt", True),
        ("compression_ratio_threshold", None),
        ("logprob_threshold", -0.5),
        ("no_speech_threshold", None),
        ("beam_size", 5),
        ("best_of", 3),
        ("length_penalty", 0.5),
        ("suppress_blank", False),
        ("seed", 7),
    ],
)
def test_options_are_handed_on_as_sent(name, value):
    assert transcription_request({name: value}, "transcribe") == TranscriptionRequest(**{name: value})


@pytest.mark.parametrize(("sent", "tokens"), [([-1, 5], (-1, 5)), (None, ())])
def test_suppressed_tokens(sent, tokens):
    assert transcription_request({"suppress_tokens": sent}, "transcribe").suppress_tokens == tokens


def test_clips_in_order():
    assert transcription_request({"clip_timestamps": [0, 5.5, 5.5, 10]}, "transcribe").clip_seconds == (
        0,
        5.5,
        5.5,
        10,
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"response_format": "srt"}, False),
        ({"response_format": "srt", "max_line_width": 42}, True),
        ({"response_format": "vtt", "max_words_per_line": 3}, True),
        ({"response_format": "json", "max_line_width": 42}, False),
        ({"response_format": "verbose_json", "timestamp_granularities": ["segment"]}, False),
        ({"response_format": "verbose_json", "timestamp_granularities": ["word"]}, True),
        ({"hallucination_silence_threshold": 2.0}, True),
        ({"hallucination_silence_threshold": 0.0}, True),
        ({"hallucination_silence_threshold": None}, False),
    ],
)
def test_word_times_are_computed_where_something_needs_them(fields, words):
    assert transcription_request(fields, "transcribe").word_timestamps is words


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
        ({"timestamp_granularities": ["segment"], "response_format": "vtt"}, "timestamp_granularities"),
        ({"max_words_per_line": 3, "max_line_width": 40}, "max_words_per_line"),
        ({"clip_timestamps": [5, 4]}, "clip_timestamps"),
        ({"beam_size": 1, "patience": 0.5}, "patience"),
        ({"beam_size": 4, "patience": 0.1}, "patience"),
    ],
)
def test_fields_that_do_not_go_together(fields, param):
    with pytest.raises(InvalidParameter) as caught:
        transcription_request(fields, "transcribe")
    assert caught.value.param == param


def test_patience_goes_with_a_beam():
    request = transcription_request({"beam_size": 5, "patience": 0.2}, "transcribe")
    assert (request.beam_size, request.patience) == (5, 0.2)
