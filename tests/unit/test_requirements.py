"""The requirement files pin all that is installed, and all that it needs."""

from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def pins(file: str) -> dict[str, Requirement]:
    """The requirements that a file states for this machine, by canonical name."""
    texts = [line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    found = [Requirement(text) for text in texts if text and not text.startswith("-")]
    return {
        canonicalize_name(entry.name): entry
        for entry in found
        if entry.marker is None or entry.marker.evaluate()
    }


RUN, DEVELOP, CUDA = pins("requirements.txt"), pins("requirements-dev.txt"), pins("constraints-cuda.txt")
BENCH = pins("requirements-bench.txt")


def needs(name: str, extras: set[str]) -> list[Requirement]:
    """What an installed distribution requires on this machine."""
    stated = [Requirement(text) for text in requires(name) or []]
    return [
        entry
        for entry in stated
        if entry.marker is None or any(entry.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def unpinned(known: dict[str, Requirement], roots: dict[str, Requirement]) -> list[str]:
    """Whatever packages need that is not pinned, as `package -> requirement`."""
    return [
        f"{name} -> {entry.name}"
        for name, root in roots.items()
        for entry in needs(name, root.extras)
        if canonicalize_name(entry.name) not in known
    ]


@pytest.mark.parametrize(
    "entry",
    [*RUN.values(), *DEVELOP.values(), *BENCH.values(), *CUDA.values()],
    ids=lambda entry: entry.name,
)
def test_one_exact_version(entry: Requirement) -> None:
    assert [specifier.operator for specifier in entry.specifier] == ["=="]
    assert "*" not in str(entry.specifier)


@pytest.mark.parametrize("entry", [*RUN.values(), *DEVELOP.values()], ids=lambda entry: entry.name)
def test_the_pinned_version_is_installed(entry: Requirement) -> None:
    assert entry.specifier.contains(version(entry.name), prereleases=True)


def test_the_server_needs_only_what_is_pinned() -> None:
    assert unpinned(RUN | CUDA, RUN) == []


def test_the_tests_need_only_what_is_pinned() -> None:
    assert unpinned(RUN | DEVELOP, DEVELOP) == []


def test_development_brings_the_server_along() -> None:
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text().splitlines()
    assert not RUN.keys() & DEVELOP.keys()


def test_benchmarks_bring_the_tests_along() -> None:
    assert "-r requirements-dev.txt" in (ROOT / "requirements-bench.txt").read_text().splitlines()
    assert not (RUN | DEVELOP).keys() & BENCH.keys()


def test_a_missing_pin_is_seen() -> None:
    rest = {name: entry for name, entry in RUN.items() if name != "jinja2"}
    assert "flask -> jinja2" in unpinned(rest, rest)
