from dataclasses import replace

import pytest

from app.formats.render_options import RenderOptions
from app.formats.usage import token_usage, usage_of
from app.transcript import TokenUsage, Transcript

USAGE = TokenUsage(audio_tokens=23, prompt_tokens=4, output_tokens=9)


def test_tokens_add_up() -> None:
    assert token_usage(USAGE) == {
        "type": "tokens",
        "input_tokens": 27,
        "input_token_details": {"text_tokens": 4, "audio_tokens": 23},
        "output_tokens": 9,
        "total_tokens": 36,
    }


@pytest.mark.parametrize(("tokens", "kind"), [(True, "tokens"), (False, "duration")])
def test_the_wishes_choose(talk: Transcript, tokens: bool, kind: str) -> None:
    assert usage_of(replace(talk, usage=USAGE), RenderOptions(token_usage=tokens))["type"] == kind
