"""SubRip and WebVTT to the letter."""

from dataclasses import replace

from app.formats import subrip, webvtt
from app.formats.render_options import RenderOptions
from app.transcript import Transcript

SILENCE = Transcript("transcribe", "en", 3.0, "")


def test_srt_counts_from_one_with_hours_and_comma(talk: Transcript) -> None:
    assert subrip.render(talk, RenderOptions()) == (
        "1\n00:00:00,000 --> 00:00:01,250\nGood morning,\n\n2\n00:00:01,500 --> 00:00:02,000\nit's nine -\n\n"
    )


def test_vtt_has_a_header_hours_and_no_numbers(talk: Transcript) -> None:
    assert webvtt.render(talk, RenderOptions()) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.250\nGood morning,\n\n"
        "00:00:01.500 --> 00:00:02.000\nit's nine -\n\n"
    )


def test_segments_without_text_leave_no_gap(talk: Transcript) -> None:
    mute = replace(talk.segments[0], text=" ", words=())
    body = subrip.render(replace(talk, segments=(mute, talk.segments[1])), RenderOptions())
    assert body == "1\n00:00:01,500 --> 00:00:02,000\nit's nine -\n\n"


def test_silence_has_no_cues() -> None:
    assert subrip.render(SILENCE, RenderOptions()) == ""
    assert webvtt.render(SILENCE, RenderOptions()) == "WEBVTT\n\n"


def test_lone_surrogates_do_not_leave(talk: Transcript) -> None:
    broken = replace(talk, segments=(replace(talk.segments[0], text=" a\ud800"),))
    assert "\na\ufffd\n" in subrip.render(broken, RenderOptions())
    assert "\na\ufffd\n" in webvtt.render(broken, RenderOptions())


def test_limits_reach_both(talk: Transcript) -> None:
    options = RenderOptions(max_words_per_line=1)
    assert subrip.render(talk, options).count("-->") == 5
    assert webvtt.render(talk, options).count("-->") == 5
