from dataclasses import replace

import pytest

from app.formats.plain_text import render
from app.formats.render_options import RenderOptions
from app.transcript import Transcript


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (" Good morning.", "Good morning.\n"),
        (" Good morning. \n", "Good morning.\n"),
        ("", "\n"),
        (" 'quoted' \"text\"", "'quoted' \"text\"\n"),
        (" a \ud800", "a \ufffd\n"),
    ],
)
def test_is_the_text_and_one_newline(talk: Transcript, text: str, body: str) -> None:
    assert render(replace(talk, text=text), RenderOptions()) == body
