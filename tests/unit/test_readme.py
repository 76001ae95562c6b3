"""The README, CONTRIBUTING.md and the pages of docs/ say what is so."""

import ast
import json
import re
import subprocess
from collections.abc import Iterable
from dataclasses import Field, fields
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.admission import ADMITTED
from app.api.schemas import CHAT_COMPLETION, TRANSCRIPTION
from app.checkpoints import RELEASES, resolve
from app.dialogue.request import MAX_RECORDINGS
from app.formats import FORMATS
from app.model_catalogue import TRANSCRIPTION_MODELS
from app.realtime_settings import RealtimeSettings
from app.runtime import Runtime
from app.settings import Settings
from app.transcription.request import Chunking
from tests.readme import (
    API,
    CHECKPOINTS,
    CLIENTS,
    CONTRIBUTING,
    FIELDS,
    PAGES,
    README,
    ROOT,
    SETTINGS,
    blocks,
    table,
)
from tests.scripted_engine import ScriptedEngine, result
from tests.scripted_synthesizer import ScriptedSynthesizer

PROPERTIES: dict[str, dict[str, Any]] = TRANSCRIPTION.schema["properties"]
CHAT_PROPERTIES: dict[str, dict[str, Any]] = CHAT_COMPLETION.schema["properties"]
OPENAI_CHAT = sorted(set(CHAT_PROPERTIES) - {"keep_alive"})
OPTIONS = {row[0].strip("`"): row for row in table("field", API)}

README_BYTES = 9_216
"""Two minutes of reading. Tables of further features belong in docs/."""


def test_it_is_short() -> None:
    assert len(README.encode()) <= README_BYTES


def test_it_opens_with_two_commands() -> None:
    commands = [line.split("#")[0].strip() for line in blocks("sh", README)[0].splitlines()]
    assert commands == ["make demo", "make test"]


def test_every_page_is_linked_from_it() -> None:
    assert set(PAGES) - {"README.md", "SECURITY.md"} <= {path for path, _ in links(README)}


def test_nothing_leaves_the_house() -> None:
    """The promise, beside the test that holds it."""
    [promise] = re.findall(r"^## Nothing leaves the house\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    assert "send no packet to another machine" in promise
    assert "(tests/functional/test_no_connections.py)" in promise


def default(value: object) -> str:
    if value in ("", ()):
        return ""
    return f"`{int(value) if isinstance(value, bool) else value}`"


def test_settings() -> None:
    realtime = fields(RealtimeSettings)
    assert table("realtime variable", SETTINGS) == rows_of(realtime)
    names = {entry.name for entry in realtime}
    assert table("variable", SETTINGS) == rows_of(e for e in fields(Settings) if e.name not in names)


def rows_of(entries: Iterable[Field[Any]]) -> list[list[str]]:
    return [
        [f"`{entry.metadata['variable']}`", default(entry.default), entry.metadata["meaning"]]
        for entry in entries
    ]


def test_every_field_of_a_request() -> None:
    assert list(OPTIONS) == ["file", *PROPERTIES]


@pytest.mark.parametrize("name", PROPERTIES)
def test_the_values_of_a_field(name: str) -> None:
    values = OPTIONS[name][1]
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


def verdicts(endpoint: str) -> dict[str, str]:
    """Each of OpenAI's fields for an endpoint, and whether it is supported or ignored."""
    rows = [(name, row[1]) for row in table(endpoint, FIELDS) for name in re.findall(r"`(\w+)`", row[0])]
    found = dict(rows)
    assert len(found) == len(rows), "a field stands there twice"
    return found


def documented(schema: str) -> set[str]:
    """The properties of a schema, before openai-whisper's options are added."""
    text = (ROOT / "app" / "api" / "schemas" / f"{schema}.json").read_text(encoding="utf-8")
    return set(json.loads(text)["properties"])


@pytest.mark.parametrize(
    ("endpoint", "supported", "ignored"),
    [
        ("transcriptions", {"file"} | documented("transcription"), {"known_speaker_references"}),
        ("speech", documented("speech") - {"instructions", "language"}, {"instructions"}),
        ("translations", {"file"} | documented("translation") - {"language"}, set()),
    ],
)
def test_every_field_of_a_form(endpoint: str, supported: set[str], ignored: set[str]) -> None:
    """What a form has beyond the schema is ignored; `language` of translations and speech is not OpenAI's."""
    assert verdicts(endpoint) == dict.fromkeys(supported, "supported") | dict.fromkeys(ignored, "ignored")


def test_every_field_of_a_chat() -> None:
    assert set(verdicts("chat completions")) == set(OPENAI_CHAT)
    assert set(verdicts("chat completions").values()) == {"supported", "ignored"}


CHAT: dict[str, Any] = {
    "model": "gpt-audio",
    "messages": [{"role": "user", "content": "ping"}],
    "audio": {"voice": "alloy", "format": "pcm16"},
}
VALUES: dict[str, list[Any]] = {
    "model": ["gpt-4o-audio-preview"],
    "messages": [[{"role": "user", "content": "Hello."}]],
    "modalities": [["text", "audio"]],
    "audio": [{"voice": "alloy", "format": "wav"}],
    "n": [2],
    "stream": [True],
    "stream_options": [{"include_usage": True}],
    "temperature": [2],
    "top_p": [0.5],
    "max_tokens": [1],
    "max_completion_tokens": [1],
    "frequency_penalty": [2],
    "presence_penalty": [2],
    "stop": ["o", ["P"]],
    "seed": [7],
    "user": ["somebody"],
    "logprobs": [True],
    "top_logprobs": [5],
    "response_format": [{"type": "json_object"}],
    "tools": [[{"type": "function", "function": {"name": "look_up"}}]],
    "tool_choice": ["required"],
    "store": [True],
    "metadata": [{"a": "b"}],
    "service_tier": ["priority"],
    "reasoning_effort": ["high"],
    "verbosity": ["low"],
}


@pytest.fixture
def client() -> FlaskClient:
    settings = Settings()
    return create_app(
        settings, Runtime(settings, ScriptedEngine(lambda window, options: result()), ScriptedSynthesizer())
    ).test_client()


NEEDED: dict[str, dict[str, Any]] = {
    "stream_options": {"stream": True},
    "audio": {"modalities": ["text", "audio"]},
}
"""Fields without which another has no meaning."""


@pytest.mark.parametrize("name", OPENAI_CHAT)
def test_what_a_field_of_a_chat_changes(client: FlaskClient, name: str) -> None:
    base = CHAT | NEEDED.get(name, {})
    changed = {answer(client, base) != answer(client, base | {name: value}) for value in VALUES[name]}
    assert changed == {verdicts("chat completions")[name] == "supported"}


def answer(client: FlaskClient, body: dict[str, Any]) -> str:
    """An answer without what differs from one to the next."""
    response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return re.sub(r'chatcmpl-\w+|audio_\w+|"(created|expires_at)":\d+', "", response.text)


def test_defaults_of_chunking() -> None:
    defaults = {row[0].strip("`"): row[1] for row in table("key", API)}
    chunking = Chunking()
    assert defaults == {
        "type": "required",
        "threshold": str(chunking.threshold),
        "silence_duration_ms": str(round(chunking.silence_seconds * 1000)),
        "prefix_padding_ms": str(round(chunking.padding_seconds * 1000)),
    }


def test_clients_are_tested_in_the_versions_named() -> None:
    node = json.loads((ROOT / "tests" / "functional" / "node" / "package.json").read_text())["dependencies"]
    named = {row[0]: row[2] for row in table("client", CLIENTS)}
    assert f"openai {node['openai']}" in named["OpenAI Node SDK"]
    assert f"ai {node['ai']} with @ai-sdk/openai {node['@ai-sdk/openai']}" in named["Vercel AI SDK"]
    [version] = re.findall(r"^openai==(\S+)", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE)
    assert f"openai {version}" in named["OpenAI Python SDK"]
    assert f"openai {version}" in named["AzureOpenAI, in OpenAI's Python SDK"]
    agents = (ROOT / "tests" / "functional" / "agents" / "requirements.txt").read_text()
    pins = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?==(\S+)", agents, re.MULTILINE))
    sdk = f"openai-agents {pins['openai-agents']} with openai {pins['openai']}"
    assert sdk in named["OpenAI Agents SDK"]


@pytest.mark.parametrize("row", table("client", CLIENTS), ids=lambda row: row[0])
def test_every_client_names_its_tests(row: list[str]) -> None:
    assert row[2].startswith(("Run", "Replayed"))
    assert re.findall(r"\(\.\./tests/functional/test_\w+\.py\)", row[2])


def test_formats() -> None:
    rows = [(row[0].strip("`"), row[1].strip("`")) for row in table("`response_format`", API)]
    assert sorted(rows) == sorted((name, form.mimetype.split(";")[0]) for name, form in FORMATS.items())


def test_checkpoints() -> None:
    listed = {
        name.strip("`"): (row[1].strip("`"), row[2].strip("`"))
        for row in table("`WHISPER_MODEL`", CHECKPOINTS)
        for name in row[0].split(", ")
    }
    assert listed == {name: (release.file, release.sha256) for name, release in RELEASES.items()}
    assert all(release.url.startswith(_address()) for release in RELEASES.values())


def _address() -> str:
    [address] = re.findall(r"`(https://\S+/)<sha256>/<file>`", CHECKPOINTS)
    return address


@pytest.mark.parametrize("name", [name for name in TRANSCRIPTION_MODELS if not name[-1].isdigit()])
def test_model_names(name: str) -> None:
    assert f"`{name}`" in API


def test_make_targets() -> None:
    made = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"help"}
    described = {target for row in target_rows() for target in _targets(row)}
    assert described == made
    assert {target for page in PAGES.values() for target in _targets(page)} <= made


def target_rows() -> list[str]:
    return [line for line in CONTRIBUTING.splitlines() if line.startswith("| `make ")]


def _targets(text: str) -> list[str]:
    """Targets in a command or in code within text."""
    return re.findall(r"(?:^|`)make ([a-z]+(?:-[a-z]+)*)(?=[ `]|$)", text, re.MULTILINE)


def test_targets_are_found_in_commands_alone() -> None:
    assert _targets(
        "make demo    # now\n`make test-quick`, `make serve PORT=1`\nmake .venv/x\nto make one"
    ) == [
        "demo",
        "test-quick",
        "serve",
    ]


NEEDS = {row[0].strip("`"): row[1:] for row in table("`WHISPER_MODEL`", README)}
"""Of each checkpoint: parameters, memory on a GPU and on a CPU, time for a window."""

DIMENSIONS = {
    "tiny": (80, 384, 4, 4, 51_865),
    "base": (80, 512, 6, 6, 51_865),
    "small": (80, 768, 12, 12, 51_865),
    "medium": (80, 1024, 24, 24, 51_865),
    "turbo": (128, 1280, 32, 4, 51_866),
    "large-v3": (128, 1280, 32, 32, 51_866),
}
"""Bands, width, layers of the encoder and of the decoder, tokens: as OpenAI has published them."""


def parameters(name: str) -> int:
    """Weights of a checkpoint; the encoder's 1500 positions, which are computed, count too."""
    mels, state, layers, decoder_layers, vocabulary = DIMENSIONS[name]
    attention, feed_forward, norm = 4 * state**2 + 3 * state, 8 * state**2 + 5 * state, 2 * state
    convolutions = 3 * mels * state + 3 * state**2 + 2 * state
    encoder = convolutions + layers * (attention + feed_forward + 2 * norm) + norm + 1500 * state
    decoder = decoder_layers * (2 * attention + feed_forward + 3 * norm) + norm
    return encoder + decoder + (vocabulary + 448) * state


def multiplications(name: str, tokens: int = 100) -> int:
    """Multiplications of matrices for one window of 30 s, keys and values of the decoder kept."""
    mels, state, layers, decoder_layers, vocabulary = DIMENSIONS[name]
    encoder = 3000 * 3 * mels * state + 1500 * 3 * state**2
    encoder += layers * (1500 * 12 * state**2 + 2 * 1500**2 * state)
    cross = decoder_layers * 1500 * 2 * state**2
    step = decoder_layers * (14 * state**2 + 2 * 1500 * state) + vocabulary * state
    return encoder + cross + tokens * step


def measured_seconds() -> float:
    """What a window took with `base` on the CPU, as benchmarks/RESULTS.md has it."""
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    [row] = [row for row in table("case", results) if row[0] == "(a) one window, language given"]
    return float(row[5].removesuffix(" s"))


def test_every_size_of_checkpoint_has_its_needs() -> None:
    assert list(NEEDS) == list(DIMENSIONS)
    assert set(NEEDS) <= set(RELEASES)


@pytest.mark.parametrize("name", NEEDS)
def test_what_a_checkpoint_needs(name: str) -> None:
    weights = parameters(name)
    halves, floats = f"{2 * weights / 1e9:.2g} GB", f"{4 * weights / 1e9:.2g} GB"
    assert NEEDS[name][:3] == [f"{weights / 1e6:.0f} M", halves, floats]
    seconds = measured_seconds() * multiplications(name) / multiplications("base")
    assert NEEDS[name][3] == (f"**{seconds} s, measured**" if name == "base" else f"about {seconds:.2g} s")


def anchors(page: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def links(page: str) -> list[tuple[str, str]]:
    """Paths, empty for the page itself, and anchors, often empty."""
    return re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    here = ROOT / page
    assert links(PAGES[page])
    for path, anchor in links(PAGES[page]):
        target = (here.parent / path).resolve() if path else here
        assert target.exists(), path
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page: str) -> None:
    spoken = re.findall(r"\b(?:tests|training|benchmarks)/[\w./-]*\w", PAGES[page].replace("\\", "/"))
    assert {name for name in spoken if not (ROOT / name).exists()} == set()


def all_blocks(language: str) -> list[str]:
    return [block for page in PAGES.values() for block in blocks(language, page)]


@pytest.mark.parametrize("block", all_blocks("python"))
def test_python_blocks_compile(block: str) -> None:
    assert ast.parse(block).body


@pytest.mark.parametrize("block", all_blocks("sh"))
def test_shell_blocks_parse(block: str) -> None:
    assert subprocess.run(["bash", "-n"], input=block, text=True, check=False).returncode == 0


def test_settings_in_shell_blocks() -> None:
    """Those that `make` passes on: a misspelled one would do nothing."""
    known = {entry.metadata["variable"] for entry in fields(Settings)}
    used = re.findall(r"\b((?:WHISPER|CHAT)_[A-Z_]+)=", "\n".join(all_blocks("sh")))
    assert set(used) <= known


def test_the_demo_model_is_called_a_toy() -> None:
    [shown] = re.findall(r"`x-model-notice: (.*?)`", README)
    assert resolve(Settings(model="demo")).notice == shown
    assert "**a toy for trying and testing, not fit for human speech**" in README


def test_what_is_worked_on_at_a_time() -> None:
    assert f"| at a time | {ADMITTED} requests;" in API
    assert f"| recordings in a chat | {MAX_RECORDINGS}," in API
