"""The Dockerfile, read and, where that needs no container, done."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
[TORCH] = re.findall(r"^torch==\S+", REQUIREMENTS, re.MULTILINE)
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


class Instruction(NamedTuple):
    """One line of a Dockerfile, with those that continue it."""

    keyword: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    code = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    lines = code.replace("\\\n", "").splitlines()
    return [Instruction(*line.split(maxsplit=1)) for line in lines if line.strip()]


def stages(text: str) -> list[list[Instruction]]:
    """The instructions of each stage; those before the first are left out."""
    found: list[list[Instruction]] = []
    for instruction in instructions(text):
        if instruction.keyword == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


PACKAGES, WEIGHTS, FINAL = stages(TEXT)


def rests(stage: list[Instruction], keyword: str) -> list[str]:
    return [instruction.rest for instruction in stage if instruction.keyword == keyword]


def copied(stage: list[Instruction]) -> list[str]:
    """What a stage takes from the build context."""
    from_context = [rest.split() for rest in rests(stage, "COPY") if "--from=" not in rest]
    return [source for *sources, _ in from_context for source in sources]


def environment(stage: list[Instruction]) -> dict[str, str]:
    return dict(pair.split("=", 1) for rest in rests(stage, "ENV") for pair in rest.split())


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    sources = {source for stage in (PACKAGES, WEIGHTS, FINAL) for source in copied(stage)}
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert sources == {line.removeprefix("!") for line in ignored if line.startswith("!")}


def test_packages_are_those_of_the_requirements() -> None:
    """All that requirements.txt refers to lies beside it, and no version is said twice."""
    referred = re.findall(r"^-[rc] (\S+)", REQUIREMENTS, re.MULTILINE)
    assert set(copied(PACKAGES)) == {"requirements.txt", *referred}
    assert "==" not in TEXT.replace("'^torch==[^ ]*'", "")


@pytest.mark.parametrize(
    ("device", "calls"),
    [
        ("cuda", ["install -r requirements.txt"]),
        (
            "cpu",
            [
                f"install --no-deps --index-url https://pypi.example.com/cpu {TORCH}",
                "install -r requirements.txt",
            ],
        ),
    ],
)
def test_what_is_installed(tmp_path: Path, device: str, calls: list[str]) -> None:
    finished = install(tmp_path, device)
    assert finished.returncode == 0
    assert finished.stdout.splitlines() == calls


def test_another_device_is_refused(tmp_path: Path) -> None:
    finished = install(tmp_path, "gpu")
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert finished.stderr == "DEVICE is 'gpu'; it must be cuda or cpu.\n"


def install(folder: Path, device: str) -> subprocess.CompletedProcess[str]:
    """Run the shell line that installs, with a pip that only says how it was called."""
    [line] = [rest for rest in rests(PACKAGES, "RUN") if "pip install" in rest]
    (folder / "pip").write_text('#!/bin/sh\necho "$@"\n')
    (folder / "pip").chmod(0o755)
    shutil.copy(ROOT / "requirements.txt", folder)
    environ = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "DEVICE": device,
        "TORCH_CPU_INDEX": "https://pypi.example.com/cpu",
    }
    command = re.sub(r"^--mount=\S+\s+", "", line)
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environ, check=False, capture_output=True, text=True
    )


def test_every_build_argument_is_explained() -> None:
    arguments = {rest.partition("=")[0] for keyword, rest in instructions(TEXT) if keyword == "ARG"}
    explained = re.findall(r"^# ([A-Z_]+)  ", TEXT, re.MULTILINE)
    assert set(explained) == arguments
    assert len(explained) == len(arguments)


def test_the_final_stage_starts_anew_and_installs_nothing() -> None:
    assert rests(FINAL, "FROM") == ["${PYTHON_IMAGE}"]
    assert rests(PACKAGES, "FROM") == ["${PYTHON_IMAGE} AS packages"]
    assert "ARG PYTHON_IMAGE=python:3.11-slim-" in TEXT
    assert re.search(r"\b(apt|apt-get|pip|gcc|build-essential)\b", " ".join(rests(FINAL, "RUN"))) is None


def test_it_runs_as_nobody_in_particular() -> None:
    keywords = [instruction.keyword for instruction in FINAL]
    [user] = rests(FINAL, "USER")
    assert user == "10001:10001"
    assert keywords.index("USER") < keywords.index("CMD")
    assert all("--gid 10001" in line and "--uid 10001" in line for line in rests(FINAL, "RUN"))


def test_its_environment_is_made_of_settings() -> None:
    settings = Settings.from_environ(environment(FINAL))
    assert (settings.host, settings.port, settings.model_dir) == ("0.0.0.0", 8000, "/models")
    assert rests(FINAL, "EXPOSE") == [str(settings.port)]
    assert f"http://127.0.0.1:{settings.port}/ready" in rests(FINAL, "HEALTHCHECK")[0]
    assert "WHISPER_MODEL" not in environment(FINAL)


def test_it_starts_as_the_makefile_does() -> None:
    command = json.loads(rests(FINAL, "CMD")[0])
    assert f"$(BIN)/{' '.join(command)}\n" in (ROOT / "Makefile").read_text()


def test_what_is_copied_is_enough_to_serve(tmp_path: Path) -> None:
    """Gunicorn reads its settings and loads the application, and the demo model is found."""
    for source in copied(FINAL):
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, tmp_path / source)
    environ = {"PATH": os.environ["PATH"], "WHISPER_MODEL": "demo", "WHISPER_DEVICES": "cpu"}
    serve = [sys.executable, "-m", *json.loads(rests(FINAL, "CMD")[0]), "--check-config"]
    assert (tmp_path / "app" / "web" / "docs" / "index.html").exists()
    assert (tmp_path / "app" / "api" / "schemas" / "answers" / "error.json").exists()
    for command in (serve, [sys.executable, "-m", "app.preflight"]):
        finished = subprocess.run(
            command, cwd=tmp_path, env=environ, check=False, capture_output=True, text=True
        )
        assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["checkpoint"]["path"] == f"{tmp_path}/models/demo.pt"
