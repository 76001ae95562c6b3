"""Python runs this by itself where its folder is in PYTHONPATH: a decoder tries to break out.

What becomes of each try goes to its standard error. Of what the decoder does nothing is replaced.
"""

import json
import os
import sys

if "app.waveform.audio_decoder_process" in sys.orig_argv:
    from attempts import outcomes

    tried: list[bool] = []

    def holds_samples(descriptor: int) -> bool:
        return "memfd:samples" in os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115

    def during_a_file(event: str, arguments: tuple) -> None:
        """The first time that a decoder opens what it was given to write samples to."""
        if event == "open" and isinstance(arguments[0], int) and holds_samples(arguments[0]) and not tried:
            tried.append(True)
            for name, outcome in outcomes(os.getppid(), port=9).items():
                print(json.dumps({"tried": name, "outcome": outcome}), file=sys.stderr, flush=True)

    sys.addaudithook(during_a_file)
