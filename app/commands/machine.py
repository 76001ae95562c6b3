"""Checks of the machine: Python, packages, cores, confinement and space for uploads."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from app.checkpoints.download import mebibytes
from app.commands.row import Row, bad, good, warn
from app.environment import bare_environ
from app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements.txt"
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
UPLOADS = 32
"""The most bodies that are read at a time, each in a temporary file."""

_OLDEST_PYTHON = (3, 11)


def python() -> Row:
    """Whether this Python is new enough."""
    finding = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info < _OLDEST_PYTHON:
        return bad("python", finding, "Install Python 3.11 or newer.")
    return good("python", finding)


def packages(file: Path = REQUIREMENTS) -> Row:
    """Whether the installed packages are those of requirements.txt."""
    try:
        pins = _pins(file.read_text(encoding="utf-8"))
    except OSError as error:
        return warn("packages", f"{file} can't be read ({error.strerror}), so no version was compared")
    if wrong := [problem for pin in pins if (problem := _problem(pin))]:
        return bad("packages", "; ".join(wrong), f"pip install -r {file}")
    return good("packages", f"all {len(pins)} as {file} pins them")


def _pins(text: str) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    pins = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]


def _problem(pin: Requirement) -> str:
    try:
        installed = version(pin.name)
    except PackageNotFoundError:
        return f"{pin.name} is missing"
    fits = pin.specifier.contains(installed, prereleases=True)
    return "" if fits else f"{pin.name} is {installed} instead of {pin.specifier}"


def threads(settings: Settings, quota: Path = CPU_QUOTA) -> Row:
    """Whether each of torch's threads has a core: they wait for each other, so the slowest sets the pace."""
    cores = _cores(quota)
    thread_count = settings.threads or os.cpu_count() or 1
    finding = f"{thread_count} for each worker, {cores} cores to run on"
    if thread_count > cores:
        return warn("threads", finding, f"Set WHISPER_THREADS={cores}.")
    return good("threads", finding)


def _cores(quota: Path) -> int:
    """How many whole cores this process may use, by affinity and by the container's quota."""
    cores = len(os.sched_getaffinity(0))
    try:
        share, period = quota.read_text().split()
        return max(1, min(cores, int(share) // int(period)))
    except (OSError, ValueError):  # no container, or "max": no quota
        return cores


def confinement() -> Row:
    """Whether the processes that read audio files and speak can be confined."""
    command = [sys.executable, "-m", "app.confinement"]
    tried = subprocess.run(command, cwd=ROOT, env=bare_environ(), capture_output=True, check=False)
    if tried.returncode == 0:
        return good("confinement", "what reads audio files and speaks can't connect, execute or write files")
    return warn(
        "confinement",
        f"no filter of system calls here ({platform.system()} on {platform.machine()}): what reads audio "
        "files and speaks is held by its limits alone",
        "Linux on x86-64 or aarch64, with CONFIG_SECCOMP_FILTER, has one.",
    )


def temp_space(settings: Settings) -> Row:
    """Whether the folder for temporary files has room for uploads."""
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError as error:
        return bad("temp space", str(error), "Set TMPDIR to a folder that the server may write to.")
    free = shutil.disk_usage(folder).free
    needed = UPLOADS * settings.max_upload_bytes
    finding = f"{mebibytes(free)} free in {folder}; {UPLOADS} uploads at once take {mebibytes(needed)}"
    advice = "Make room, set TMPDIR to a folder with more, or lower WHISPER_MAX_UPLOAD_MB."
    if free < settings.max_upload_bytes:
        return bad("temp space", finding, advice)
    return good("temp space", finding) if free >= needed else warn("temp space", finding, advice)
