"""Python runs this by itself where its folder is in PYTHONPATH: the wall clock can be moved while it runs.

By as many seconds as the file says that CLOCK_OFFSET names; audio decoders, which don't get that variable,
keep the right time. The monotonic clock stays as it is, as when an operator or NTP sets the time.
(libfaketime 0.9.10 would do it below Python, but `time.sleep` fails under it.)
"""

import os
import time
from pathlib import Path

wall = {name: getattr(time, name) for name in ("time", "time_ns", "localtime", "gmtime")}


def offset() -> float:
    return float(Path(os.environ["CLOCK_OFFSET"]).read_text(encoding="utf-8"))


if "CLOCK_OFFSET" in os.environ:
    time.time = lambda: wall["time"]() + offset()
    time.time_ns = lambda: wall["time_ns"]() + int(offset() * 1e9)
    time.localtime = lambda seconds=None: wall["localtime"](time.time() if seconds is None else seconds)
    time.gmtime = lambda seconds=None: wall["gmtime"](time.time() if seconds is None else seconds)
