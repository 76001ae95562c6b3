"""The table of one request alone, and what is asked of random weights."""

from benchmarks.alone import Alone, request_of, table


def test_the_table() -> None:
    alone = Alone("tiny", "1 s", [3.0, 2.0, 1.0], [1.0, 1.0, 2.0])
    assert table([alone]).splitlines() == [
        "| weights | request | rounds | reference | batched | ratio | worst ratio |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| tiny | 1 s | 3 | 2.000 s | 1.000 s | 2.00 | 0.50 |",
    ]


def test_a_prompt_takes_what_is_not_said() -> None:
    prompt = request_of(20, words=True).prompt
    assert prompt is not None
    assert len(prompt.split()) == 79
    assert request_of(100, words=False).prompt is None
    assert request_of(None, words=False).prompt is None
