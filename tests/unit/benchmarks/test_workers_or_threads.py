"""The table that compares one worker with several."""

from benchmarks.workers_or_threads import row, settings_of


def test_a_row_has_medians_and_the_rounds_ratio() -> None:
    seconds = {"one": [10.0, 20.0, 30.0], "two": [5.0, 10.0, 30.0]}
    assert row("short clips", seconds) == "| short clips | 20.0 s | 10.0 s | 2.00 |"


def test_both_have_as_many_threads() -> None:
    one, several = settings_of(4).values()
    assert (one["WHISPER_DEVICES"], one["WHISPER_THREADS"]) == ("cpu", "4")
    assert (several["WHISPER_DEVICES"], several["WHISPER_THREADS"]) == ("cpu,cpu,cpu,cpu", "1")
