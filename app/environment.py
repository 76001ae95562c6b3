"""What child processes and packages are told by the environment."""

import os


def bare_environ(**more: str) -> dict[str, str]:
    """The environment of a process that reads what strangers sent: no keys, only what starting takes."""
    kept = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME")
    # A Python without HOME asks the machine's name service for it, which may ask the network.
    home = {"HOME": "/nonexistent"}
    return {name: os.environ[name] for name in kept if name in os.environ} | home | more


def keep_packages_silent() -> None:
    """Switch off what packages report to their makers; they look when they are imported, so call this before.

    onnxruntime, which silero-vad and piper run on, would send events to Microsoft and keep them below HOME.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
