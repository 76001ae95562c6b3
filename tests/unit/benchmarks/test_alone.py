"""The table of one request alone, and what is asked of random weights."""

from benchmarks.alone import Alone, Spent, request_of, table


def test_the_table() -> None:
    theirs = [Spent(3.0, 2.5), Spent(2.0, 1.5), Spent(1.0, 0.5)]
    alone = Alone("tiny", "1 s", theirs, [Spent(1.0, 0.5), Spent(1.0, 0.5), Spent(2.0, 0.4)])
    assert list(table([alone])) == [
        "| weights | request | rounds | reference | batched | ratio | ratio of processor time | worst |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| tiny | 1 s | 3 | 2.000 s | 1.000 s | 2.00 | 3.00 | 1.25 |",
    ]


def test_a_prompt_takes_what_is_not_said() -> None:
    prompt = request_of(20, words=True).prompt
    assert prompt is not None
    assert len(prompt.split()) == 79
    assert request_of(100, words=False).prompt is None
    assert request_of(None, words=False).prompt is None
