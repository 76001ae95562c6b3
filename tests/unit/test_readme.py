"""The README says what is so."""

import ast
import re
import subprocess
from dataclasses import fields
from typing import Any

import pytest

from app.api.schemas import TRANSCRIPTION
from app.checkpoints import DEMO_NOTICE, RELEASES
from app.formats import FORMATS
from app.runtime import ADMITTED, TRANSCRIPTION_MODELS
from app.settings import Settings
from tests.readme import README, ROOT, blocks, table

PROPERTIES: dict[str, dict[str, Any]] = TRANSCRIPTION.schema["properties"]
FIELDS = {row[0].strip("`"): row for row in table("field")}


def test_it_opens_with_two_commands() -> None:
    commands = [line.split("#")[0].strip() for line in blocks("sh")[0].splitlines()]
    assert commands == ["make demo", "make test"]


def default(value: object) -> str:
    if value in ("", ()):
        return ""
    return f"`{int(value) if isinstance(value, bool) else value}`"


def test_settings() -> None:
    assert table("variable") == [
        [f"`{entry.metadata['variable']}`", default(entry.default), entry.metadata["meaning"]]
        for entry in fields(Settings)
    ]


def test_every_field_of_a_request() -> None:
    assert list(FIELDS) == ["file", *PROPERTIES]


@pytest.mark.parametrize("name", PROPERTIES)
def test_the_values_of_a_field(name: str) -> None:
    values = FIELDS[name][1]
    for limit in limits(PROPERTIES[name]):
        assert re.search(rf"(?<![\w.-]){re.escape(limit)}(?![\w.]*\w)", values), f"{limit} is not in {values}"
    assert ("none" in values) == ("null" in PROPERTIES[name]["type"])


def limits(schema: dict[str, Any]) -> list[str]:
    """What a row must name: the least and the most of numbers and lengths, or the values themselves."""
    names = ("minimum", "exclusiveMinimum", "maximum", "maxLength")
    found = [str(schema[name]) for name in names if name in schema]
    parts = [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    return found + [limit for part in parts for limit in limits(part)] + schema.get("enum", [])


def test_limits_reads_schemas() -> None:
    assert limits({"anyOf": [{"const": 0}, {"minimum": 0.05, "maximum": 1}]}) == ["0.05", "1"]
    assert limits({"type": "array", "items": {"enum": ["a", "b"]}}) == ["a", "b"]


def test_formats() -> None:
    rows = [(row[0].strip("`"), row[1].strip("`")) for row in table("`response_format`")]
    assert sorted(rows) == sorted((name, form.mimetype.split(";")[0]) for name, form in FORMATS.items())


def test_checkpoints() -> None:
    listed = {
        name.strip("`"): (row[1].strip("`"), row[2].strip("`"))
        for row in table("`WHISPER_MODEL`")
        for name in row[0].split(", ")
    }
    assert listed == {name: (release.file, release.sha256) for name, release in RELEASES.items()}
    assert all(release.url.startswith(_address()) for release in RELEASES.values())


def _address() -> str:
    [address] = re.findall(r"`(https://\S+/)<sha256>/<file>`", README)
    return address


@pytest.mark.parametrize("name", [name for name in TRANSCRIPTION_MODELS if not name[-1].isdigit()])
def test_model_names(name: str) -> None:
    assert f"`{name}`" in README


def test_make_targets() -> None:
    made = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"help"}
    [line] = re.findall(r"lists all targets: (.*?)\.", README)
    assert set(re.findall(r"`(.*?)`", line)) == made
    assert set(re.findall(r"make ([a-z]+)\b", "\n".join(blocks("sh")))) <= made


def test_named_files_exist() -> None:
    links = set(re.findall(r"\]\(([^)#:]+)\)", README))
    spoken = set(re.findall(r"\b(?:tests|models|training|benchmarks)/[\w./-]*\w", README.replace("\\", "/")))
    assert links
    assert {name for name in links | spoken if not (ROOT / name).exists()} == set()


def test_links_within() -> None:
    titles = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#(.*?)\)", README)) <= anchors


@pytest.mark.parametrize("block", blocks("python"))
def test_python_blocks_compile(block: str) -> None:
    assert ast.parse(block).body


@pytest.mark.parametrize("block", blocks("sh"))
def test_shell_blocks_parse(block: str) -> None:
    assert subprocess.run(["bash", "-n"], input=block, text=True, check=False).returncode == 0


def test_the_demo_model_is_called_a_toy() -> None:
    assert DEMO_NOTICE == "demo model, not for human speech"
    assert "**a toy for trying and testing, not fit for human speech**" in README


def test_what_is_worked_on_at_a_time() -> None:
    assert f"| at a time | {ADMITTED} requests;" in README
