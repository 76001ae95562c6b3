import pytest

from app.transcription.text import TextStream
from tests.scripted_engine import LetterTokenizer, spell, ts

HALF = 801


@pytest.mark.parametrize(
    ("fed", "pieces"),
    [
        ([spell(" One"), spell(" two.")], ["One", " two.", ""]),
        ([spell(" One "), spell("two.")], ["One", " two.", ""]),
        ([spell("One  ")], ["One", ""]),
        ([spell("   "), spell(" One")], ["", "One", ""]),
        ([(ts(0), *spell(" One"), ts(2))], ["One", ""]),
        ([(*spell("One"), HALF), spell("two")], ["", "One\ufffdtwo", ""]),
        ([(*spell("One"), HALF)], ["", "One\ufffd"]),
        ([], [""]),
    ],
)
def test_pieces(fed: list[tuple[int, ...]], pieces: list[str]) -> None:
    stream = TextStream(LetterTokenizer())
    assert [*map(stream.feed, fed), stream.flush()] == pieces


def test_pieces_joined_are_the_whole_text_stripped() -> None:
    tokens = spell("  Some text,  with blanks. And more ")
    whole = LetterTokenizer().decode(tokens).strip()
    for cut in range(len(tokens)):
        stream = TextStream(LetterTokenizer())
        assert stream.feed(tokens[:cut]) + stream.feed(tokens[cut:]) + stream.flush() == whole
