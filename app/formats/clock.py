"""Seconds as subtitles write them."""


def timestamp(seconds: float, decimal_mark: str) -> str:
    """`HH:MM:SS` with milliseconds after the mark; the hours grow past 99, less than 0 is 0."""
    # Rounded as a whole, so that 59.9996 s is 00:01:00.000.
    total = max(0, round(seconds * 1000))
    whole_seconds, milliseconds = divmod(total, 1000)
    minutes, seconds_shown = divmod(whole_seconds, 60)
    hours, minutes_shown = divmod(minutes, 60)
    return f"{hours:02d}:{minutes_shown:02d}:{seconds_shown:02d}{decimal_mark}{milliseconds:03d}"
