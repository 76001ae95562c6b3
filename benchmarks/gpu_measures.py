"""The parts of `gpu_check`: the machine, exactness on the demo weights, speed of turbo's dimensions."""

import argparse
import platform
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
import whisper

from benchmarks.gpu_check import Row
from benchmarks.gpu_exactness import exactness
from benchmarks.gpu_speed import Speed


def parts(
    options: argparse.Namespace, folder: Path, used_wheels: list[str], until: float
) -> list[tuple[str, Callable[[], Iterator[Row]]]]:
    """All parts by name, in their order; those of one speed comparison share their weights."""
    speed = Speed(options, folder, until)
    return [
        ("machine", partial(machine, options, used_wheels)),
        ("exactness", partial(exactness, options)),
        ("this engine", speed.ours),
        ("launches", speed.launches),
        ("memory", speed.memory),
        ("openai-whisper", speed.openai_whisper),
        ("transformers", speed.transformers),
    ]


def machine(options: argparse.Namespace, used_wheels: list[str]) -> Iterator[Row]:
    """What it ran on."""
    on_gpu = options.device != "cpu"
    yield Row("device", torch.cuda.get_device_name(options.device) if on_gpu else "no GPU: a processor")
    cuda = f", CUDA {torch.version.cuda}" if on_gpu else ""
    packages = (
        f"torch {torch.__version__}{cuda}, openai-whisper {whisper.__version__}, numba {version('numba')}"
    )
    yield Row("versions", f"Python {platform.python_version()}, {packages}")
    yield Row("wheels brought along", ", ".join(used_wheels) or "none")
