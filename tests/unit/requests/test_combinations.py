import pytest

from app.errors import InvalidParameter, UnsupportedValue
from app.requests.combinations import DIARIZE, check_combinations


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
        (
            {"timestamp_granularities": ["word", "segment"], "response_format": "vtt"},
            "timestamp_granularities",
        ),
        ({"include": ["logprobs"], "response_format": "text"}, "include"),
        ({"include": ["logprobs"], "response_format": "verbose_json"}, "include"),
        ({"include": ["logprobs"], "response_format": "diarized_json"}, "include"),
        ({"max_words_per_line": 3, "max_line_width": 40}, "max_words_per_line"),
        ({"clip_timestamps": [0, 4], "chunking_strategy": "auto"}, "clip_timestamps"),
        ({"clip_timestamps": [5, 4]}, "clip_timestamps"),
        ({"known_speaker_names": ["Ann", "Bob", "Ann"]}, "known_speaker_names"),
        ({"beam_size": 1, "patience": 0.5}, "patience"),
        ({"beam_size": 4, "patience": 0.1}, "patience"),
    ],
)
def test_fields_that_do_not_go_together(fields, param):
    with pytest.raises(InvalidParameter) as caught:
        check_combinations(fields)
    assert (caught.value.param, caught.value.code) == (param, "invalid_value")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stream": True, "response_format": "srt"}, "response_format"),
        ({"stream": True, "response_format": "vtt"}, "response_format"),
        ({"model": DIARIZE, "response_format": "srt"}, "response_format"),
        ({"model": DIARIZE, "response_format": "vtt"}, "response_format"),
        ({"model": DIARIZE, "response_format": "verbose_json"}, "response_format"),
        ({"model": DIARIZE, "prompt": "Names: Ada."}, "prompt"),
        ({"model": DIARIZE, "keywords": ["Ada"]}, "keywords"),
        ({"model": DIARIZE, "include": ["logprobs"]}, "include"),
        ({"model": DIARIZE, "timestamp_granularities": ["word"]}, "timestamp_granularities"),
    ],
)
def test_what_a_model_or_a_stream_does_not_offer(fields, param):
    with pytest.raises(UnsupportedValue) as caught:
        check_combinations(fields)
    assert (caught.value.param, caught.value.code) == (param, "unsupported_value")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stream": True},
        {"known_speaker_names": ["Ann", "", "", "Bob"]},
        {"stream": True, "response_format": "text"},
        {"stream": True, "response_format": "verbose_json"},
        {"stream": True, "response_format": "diarized_json"},
        {"stream": True, "include": ["logprobs"]},
        {"stream": False, "response_format": "srt"},
        {"model": DIARIZE, "response_format": "text", "chunking_strategy": "auto", "language": "de"},
        {"model": "whisper-1", "response_format": "diarized_json", "prompt": "Names: Ada."},
        {"timestamp_granularities": ["word"], "response_format": "verbose_json", "chunking_strategy": "auto"},
        {"timestamp_granularities": ["segment"], "response_format": "json"},
        {"beam_size": 5, "patience": 0.2},
    ],
)
def test_fields_that_do(fields):
    check_combinations(fields)


def test_what_callers_are_told():
    with pytest.raises(UnsupportedValue) as caught:
        check_combinations({"model": DIARIZE, "response_format": "verbose_json"})
    assert caught.value.message == (
        "response_format 'verbose_json' is not compatible with model 'gpt-4o-transcribe-diarize'. "
        "Use one of 'json', 'text', and 'diarized_json' instead."
    )
