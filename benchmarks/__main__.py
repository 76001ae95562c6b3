"""`python -m benchmarks` lists the programs, `python -m benchmarks PROGRAM ...` runs one."""

import os
import sys
from importlib import import_module

PROGRAMS = {
    "engine_speed": "this engine beside openai-whisper and faster-whisper, with the same weights",
    "real_speech": "speed with OpenAI's own weights on speech, beside both others, with word errors",
    "word_errors": "word error rate with OpenAI's own weights, beside faster-whisper",
    "short_context": "a short audio context beside the full one: time and word errors by clip length",
    "live_text": "text of an utterance while it is spoken: how much is sent, when, and does it stay",
    "realtime": "sessions of a server that are spoken to: how soon deltas and transcripts come",
    "http_speed": "eight clients at once, with this engine and with openai-whisper behind the same server",
    "workers_or_threads": "eight clients at once: one worker with a thread per core, or a worker for each",
    "alone": "one short request alone, with this engine and with openai-whisper as it is",
    "short_note": "how long a note of 5 s takes while an hour is being transcribed",
    "load": "what /health takes while a server is full, and how it refuses",
    "slow_clients": "what /health takes while clients drip, fall silent or take no answer",
    "json_bodies": "what /health takes and memory grows while large JSON bodies are read",
    "memory": "what a worker holds at each stage, beside openai-whisper and faster-whisper",
    "memory_growth": "how a worker's memory grows over hundreds of requests of all kinds",
    "model_memory": "does memory come back when models are loaded and unloaded, round after round",
    "two_models": "two models that share the engine's thread, beside one after the other",
    "loading_memory": "what loading a model takes beside what a worker holds afterwards, for each format",
    "soak": "an hour's worth of mixed and malformed traffic: is every answer right, is anything left behind",
    "request_cost": "how the wall time of a request splits into upload, decode, model and answer",
    "decode_speed": "reading audio files in this process and in decoder processes",
    "gpu_check": "on a GPU: is every text openai-whisper's, and how fast beside it and transformers",
    "gpu_check_pack": "the wheels that gpu_check needs on a machine without a package index",
}
"""Module of this package -> what it measures."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Environment variables that libraries read when they are imported."""


def main(arguments: list[str]) -> None:
    """Run the program that the first argument names, with the others. Exits with 2 for an unknown name."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(listing())
        return
    program, *rest = arguments
    if program not in PROGRAMS:
        print(f"There is no program {program!r}.\n{listing()}", file=sys.stderr)
        sys.exit(2)
    os.environ.update({variable: "1" for variable in THREADS if variable not in os.environ})
    import_module(f"benchmarks.{program}").main(rest)


def listing() -> str:
    """One line for each program."""
    return "\n".join(f"{name:<18} {meaning}" for name, meaning in PROGRAMS.items())


if __name__ == "__main__":
    main(sys.argv[1:])
