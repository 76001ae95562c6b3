import pytest

from app.formats import FORMATS, RenderOptions
from app.transcript import Transcript

LIMITED = [
    RenderOptions(max_line_width=40),
    RenderOptions(max_line_count=2),
    RenderOptions(max_words_per_line=3),
]
WORDS = RenderOptions(granularities=frozenset({"word", "segment"}))


def test_offers_openais_formats_in_their_order() -> None:
    assert list(FORMATS) == ["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]


@pytest.mark.parametrize(
    ("name", "mimetype"),
    [
        ("json", "application/json"),
        ("verbose_json", "application/json"),
        ("diarized_json", "application/json"),
        ("text", "text/plain; charset=utf-8"),
        ("srt", "text/plain; charset=utf-8"),
        ("vtt", "text/plain; charset=utf-8"),
    ],
)
def test_mimetypes_are_exact(name: str, mimetype: str) -> None:
    assert FORMATS[name].mimetype == mimetype


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("json", '{"text"'),
        ("verbose_json", '{"task"'),
        ("text", "Good"),
        ("srt", "1\n"),
        ("vtt", "WEBVTT\n\n"),
        ("diarized_json", '{"task"'),
    ],
)
def test_each_name_renders_its_own_shape(talk: Transcript, name: str, start: str) -> None:
    assert FORMATS[name].render(talk, RenderOptions()).startswith(start)


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_needs_words_unasked(name: str) -> None:
    assert not FORMATS[name].needs_words(RenderOptions())


@pytest.mark.parametrize("options", LIMITED, ids=str)
@pytest.mark.parametrize(
    ("name", "needed"),
    [("srt", True), ("vtt", True), ("verbose_json", False), ("json", False), ("text", False)],
)
def test_subtitle_limits_need_words_in_subtitles(name: str, options: RenderOptions, needed: bool) -> None:
    assert FORMATS[name].needs_words(options) is needed


@pytest.mark.parametrize("name", FORMATS)
def test_word_granularity_needs_words_in_verbose_json(name: str) -> None:
    assert FORMATS[name].needs_words(WORDS) is (name == "verbose_json")


def test_what_can_be_streamed() -> None:
    assert [name for name, form in FORMATS.items() if form.events] == [
        "json",
        "text",
        "verbose_json",
        "diarized_json",
    ]
