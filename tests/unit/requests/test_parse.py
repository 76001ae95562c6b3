import pytest

from app.api.schemas import TRANSCRIPTION
from app.engines.interface import DecodingOptions
from app.errors import InvalidLanguage, InvalidParameter
from app.formats import FORMATS, RenderOptions
from app.requests.parse import AudioRequest, parse
from app.transcription.request import LADDER, Chunking, TranscriptionRequest


def test_no_fields_are_openai_whispers_defaults():
    assert parse({}, "transcribe").transcription == TranscriptionRequest()
    assert parse({}, "translate").transcription == TranscriptionRequest(task="translate")
    assert parse({}, "transcribe") == AudioRequest(
        TranscriptionRequest(), FORMATS["json"], RenderOptions(), False
    )


@pytest.mark.parametrize("prompt", ["convert the audio to text", " convert the audio to text\n"])
def test_prompts_to_ignore(prompt):
    ignored = ("convert the audio to text", "Hello, you.")
    assert parse({"prompt": prompt}, "transcribe", ignored).transcription.prompt is None
    both = parse({"prompt": prompt, "keywords": ["Ann"]}, "transcribe", ignored)
    assert both.transcription.prompt == "Ann"
    longer = f"{prompt.strip()}."
    assert parse({"prompt": longer}, "transcribe", ignored).transcription.prompt == longer


def test_the_schemas_formats_are_those_there_are():
    assert set(TRANSCRIPTION.schema["properties"]["response_format"]["enum"]) == set(FORMATS)


@pytest.mark.parametrize(
    ("sent", "code"),
    [("de", "de"), ("DE", "de"), ("German", "de"), ("auto", None), ("AUTO", None), (" yue ", "yue")],
)
def test_languages(sent, code):
    assert parse({"language": sent}, "transcribe").transcription.language == code


@pytest.mark.parametrize("sent", ["xx", "xx-US", "deu", "auto detect", "-"])
def test_wrong_languages(sent):
    with pytest.raises(InvalidLanguage, match="ISO-639-1") as caught:
        parse({"language": sent}, "transcribe")
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
    assert parse(fields, "transcribe").transcription.temperatures == ladder


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", "Names: Ada."),
        ("condition_on_previous_text", False),
        ("carry_initial_prompt", True),
        ("compression_ratio_threshold", None),
        ("logprob_threshold", -0.5),
        ("no_speech_threshold", None),
    ],
)
def test_options_are_handed_on_as_sent(name, value):
    assert parse({name: value}, "transcribe").transcription == TranscriptionRequest(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("beam_size", 5), ("best_of", 3), ("length_penalty", 0.5), ("suppress_blank", False), ("seed", 7)],
)
def test_decoding_options_are_handed_on_as_sent(name, value):
    assert parse({name: value}, "transcribe").transcription == TranscriptionRequest(
        decoding=DecodingOptions(**{name: value})
    )


@pytest.mark.parametrize(("sent", "tokens"), [([-1, 5], (-1, 5)), (None, ())])
def test_suppressed_tokens(sent, tokens):
    assert parse({"suppress_tokens": sent}, "transcribe").transcription.decoding.suppress_tokens == tokens


def test_clips_in_order():
    assert parse({"clip_timestamps": [0, 5.5, 5.5, 10]}, "transcribe").transcription.clip_seconds == (
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
    assert parse(fields, "transcribe").transcription.word_timestamps is words


@pytest.mark.parametrize(
    ("fields", "language", "languages"),
    [
        ({"languages": ["de", "English"]}, None, ("de", "en")),
        ({"languages": ["de"], "language": "auto"}, None, ("de",)),
        ({"languages": ["de", "en"], "language": "German"}, "de", ("de", "en")),
        ({"languages": []}, None, ()),
    ],
)
def test_languages_to_choose_from(fields, language, languages):
    request = parse(fields, "transcribe").transcription
    assert (request.language, request.languages) == (language, languages)


@pytest.mark.parametrize("sent", [["xx"], ["de", "auto"], ["de", ""]])
def test_wrong_languages_to_choose_from(sent):
    with pytest.raises(InvalidLanguage) as caught:
        parse({"languages": sent}, "transcribe")
    assert caught.value.param == "languages"


def test_a_language_that_is_not_among_them():
    with pytest.raises(InvalidParameter, match="contradict") as caught:
        parse({"languages": ["de"], "language": "en"}, "transcribe")
    assert caught.value.param == "languages"


@pytest.mark.parametrize(
    ("fields", "prompt"),
    [
        ({}, None),
        ({"prompt": " As sent. "}, " As sent. "),
        ({"keywords": ["Ada", " Babbage ", " "]}, "Ada, Babbage"),
        ({"keywords": ["Ada"], "prompt": "A talk."}, "A talk. Ada"),
        ({"keywords": [], "prompt": "A talk."}, "A talk."),
        ({"keywords": [" "]}, None),
    ],
)
def test_keywords_are_added_to_the_prompt(fields, prompt):
    assert parse(fields, "transcribe").transcription.prompt == prompt


@pytest.mark.parametrize(
    ("sent", "chunking"),
    [
        ("auto", Chunking()),
        ("server_vad", Chunking()),
        ({"type": "server_vad"}, Chunking()),
        (
            {"type": "server_vad", "threshold": 0, "silence_duration_ms": 500, "prefix_padding_ms": 100},
            Chunking(threshold=0.0, silence_seconds=0.5, padding_seconds=0.1),
        ),
    ],
)
def test_chunking(sent, chunking):
    assert parse({"chunking_strategy": sent}, "transcribe").transcription.chunking == chunking


@pytest.mark.parametrize(
    ("fields", "by_channel", "mono_is_plain"),
    [
        ({"model": "whisper-1"}, False, False),
        ({"model": "whisper-1", "response_format": "diarized_json"}, True, False),
        ({"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json"}, True, False),
        ({"model": "gpt-4o-transcribe-diarize"}, True, True),
        ({"model": "gpt-4o-transcribe-diarize", "response_format": "text"}, True, True),
    ],
)
def test_who_tells_speakers_apart(fields, by_channel, mono_is_plain):
    request = parse({**fields, "known_speaker_names": ["Ann"]}, "transcribe").transcription
    assert (request.by_channel, request.speaker_names) == (by_channel, ("Ann",))
    assert request.mono_is_plain is mono_is_plain


@pytest.mark.parametrize(
    ("model", "task", "tokens", "languages"),
    [
        ("whisper-1", "transcribe", False, False),
        ("turbo", "transcribe", False, False),
        ("gpt-4o-transcribe", "transcribe", True, False),
        ("gpt-4o-transcribe-diarize", "transcribe", True, False),
        ("gpt-transcribe", "transcribe", True, True),
        ("gpt-4o-transcribe", "translate", False, False),
    ],
)
def test_what_a_model_name_adds_to_the_answer(model, task, tokens, languages):
    wishes = parse({"model": model}, task).render_options
    assert (wishes.token_usage, wishes.languages) == (tokens, languages)


def test_logprobs_are_asked_for_and_shown():
    fields = {"include": ["logprobs"]}
    assert parse(fields, "transcribe").transcription.logprobs is True
    assert parse(fields, "transcribe").render_options.logprobs is True


def test_fields_that_contradict_each_other_are_refused():
    with pytest.raises(InvalidParameter):
        parse({"timestamp_granularities": ["word"]}, "transcribe")


def test_patience_goes_with_a_beam():
    request = parse({"beam_size": 5, "patience": 0.2}, "transcribe").transcription
    assert (request.decoding.beam_size, request.decoding.patience) == (5, 0.2)


@pytest.mark.parametrize(
    ("sent", "streamed"), [({}, False), ({"stream": False}, False), ({"stream": True}, True)]
)
def test_streams(sent, streamed):
    assert parse(sent, "transcribe").streamed is streamed
