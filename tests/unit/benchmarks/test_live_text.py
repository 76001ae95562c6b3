"""What is counted of an utterance that was sent while it was spoken."""

import numpy as np
import pytest

from benchmarks.live_text import Sent, Totals, Utterance, percentile, texts_up_to

ENDS = [(" One,", 0.5), (" two", 1.0), (" three.", 6.0)]


def utterance(*sent: tuple[float, str], final: str = "One, two three.", seconds: float = 7.0) -> Utterance:
    return Utterance("", seconds, [Sent(*each) for each in sent], final, list(texts_up_to(final, ENDS)))


def test_a_text_up_to_each_word() -> None:
    assert list(texts_up_to("One, two three.", ENDS)) == [
        ("One", 0.5),
        ("One, two", 1.0),
        ("One, two three", 6.0),
    ]


def test_words_that_the_text_has_not_are_left_out() -> None:
    assert list(texts_up_to("One three", [*ENDS, (" ...", 7.0)])) == [("One", 0.5), ("One three", 6.0)]


def test_latencies_are_those_of_words_sent_while_it_is_spoken() -> None:
    found = utterance((1.5, "One"), (2.0, "One, two"), (6.5, "One, two three"))
    assert found.latencies() == pytest.approx([1.0, 1.0])
    assert found.is_prefix


def test_what_is_no_beginning_was_sent_in_vain() -> None:
    found = utterance((1.5, "One"), (2.0, "One too"))
    assert not found.is_prefix
    assert found.latencies() == pytest.approx([1.0])


def test_an_utterance_of_which_nothing_was_sent() -> None:
    found = utterance()
    assert (found.is_prefix, found.latencies(), found.text_sent) == (True, [], "")


def test_the_columns() -> None:
    good = utterance((1.5, "One"), (2.0, "One, two"))
    bad = utterance((1.0, "No"), seconds=4.0)
    assert list(Totals([good, bad]).cells()) == ["2, 11 s", "1 of 2", "2 of 3, 67%", "1.00 s, 1.00 s"]
    assert list(Totals([bad]).cells()) == ["1, 4 s", "0 of 1", "-", "-"]


def test_percentiles() -> None:
    values = [float(value) for value in np.arange(100)]
    assert (percentile(values, 95), percentile([3.0], 95)) == (95.0, 3.0)
