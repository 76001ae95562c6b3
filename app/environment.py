"""The environment variables that child processes and packages get."""

import os


def bare_environ(**more: str) -> dict[str, str]:
    """The environment of a process that handles untrusted input: no keys, only what it needs to start."""
    kept = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME")
    # Without HOME, Python asks the name service for it, which may use the network.
    home = {"HOME": "/nonexistent"}
    return {name: os.environ[name] for name in kept if name in os.environ} | home | more


def disable_telemetry() -> None:
    """Switch off the telemetry of packages. Call it before they are imported.

    onnxruntime, which silero-vad and piper use, would send events to Microsoft and store them below HOME.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
