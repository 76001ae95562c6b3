"""compose.yaml and what lies in deploy/, held against schemas, the settings and each other."""

import configparser
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from app.admission import ADMITTED, READING, SPARE, THREADS
from app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "tests" / "data" / "deployment"
GRACE_SECONDS = Settings().request_seconds + 30
"""What gunicorn.conf.py gives running requests; tests/unit/test_gunicorn_conf.py holds it to that."""

WORST_UPLOADS = READING + ADMITTED + SPARE
"""Those that are being read, those that are worked on, and those in between."""
WORST_UPLOADS_BYTES = WORST_UPLOADS * Settings().max_body_bytes
VARIABLES = {entry.metadata["variable"] for entry in fields(Settings)}


class ComposeLoader(yaml.SafeLoader):
    """Knows `!reset`, with which Compose drops what another file says."""


ComposeLoader.add_constructor("!reset", lambda loader, node: None)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def compose(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(text, ComposeLoader)
    return found


def check(schema: str, document: Any) -> None:
    contents = json.loads((SCHEMAS / f"{schema}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(contents)
    Draft202012Validator(contents).validate(document)


COMPOSE = compose(read("compose.yaml"))
SERVER = COMPOSE["services"]["whisper"]
DEPLOYMENT, SERVICE = yaml.safe_load_all(read("deploy/kubernetes.yaml"))
POD = DEPLOYMENT["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]
UNIT_TEXT = read("deploy/whisper@.service")
NGINX = read("deploy/nginx.conf")


def unit() -> configparser.ConfigParser:
    """The unit; of a key that is there twice, the last. Names keep their case."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(UNIT_TEXT)
    return parser


def directive(name: str) -> str:
    """The value of what stands in nginx.conf once."""
    [value] = re.findall(rf"^\s*{name} (.*?);", NGINX, re.MULTILINE)
    return value


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text.removesuffix("s"))


def uncommented(text: str) -> str:
    """With the lines about keys, which are comments because not everybody has any."""
    return re.sub(
        r"^(\s*)# (?=(WHISPER_API_KEYS:|secrets:|  ?whisper_keys:|    file:))", r"\1", text, flags=re.M
    )


@pytest.mark.parametrize("text", [read("compose.yaml"), read("deploy/compose.cpu.yaml")], ids=["gpu", "cpu"])
def test_compose_follows_its_schema(text: str) -> None:
    check("compose", compose(text))


def test_compose_with_keys() -> None:
    found = compose(uncommented(read("compose.yaml")))
    check("compose", found)
    [secret] = found["services"]["whisper"]["secrets"]
    assert found["services"]["whisper"]["environment"]["WHISPER_API_KEYS"] == f"@/run/secrets/{secret}"
    assert list(found["secrets"]) == [secret]


@pytest.mark.parametrize("document", [DEPLOYMENT, SERVICE], ids=lambda document: document["kind"])
def test_kubernetes_follows_its_schema(document: dict[str, Any]) -> None:
    check("kubernetes", document)


def test_compose_builds_with_arguments_that_exist() -> None:
    known = re.findall(r"^ARG (\w+)", read("Dockerfile"), re.MULTILINE)
    assert set(SERVER["build"]["args"]) == set(known)
    cpu = compose(read("deploy/compose.cpu.yaml"))["services"]["whisper"]
    assert (SERVER["build"]["args"]["DEVICE"], cpu["build"]["args"]["DEVICE"]) == ("cuda", "cpu")


def test_the_gpu_is_reserved_unless_there_is_none() -> None:
    [device] = SERVER["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
    assert compose(read("deploy/compose.cpu.yaml"))["services"]["whisper"]["deploy"] is None
    assert CONTAINER["resources"]["limits"] == {"nvidia.com/gpu": 1}
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_mounts_have_volumes() -> None:
    named = {volume.split(":")[0] for volume in SERVER["volumes"]}
    assert named == {"${MODELS", "uploads"}
    assert set(COMPOSE["volumes"]) == {"models", "uploads"}
    volumes = [volume["name"] for volume in POD["volumes"]]
    assert volumes == [mount["name"] for mount in CONTAINER["volumeMounts"]]


def test_settings_are_known() -> None:
    named = re.findall(r"\b(?:WHISPER|CHAT_UPSTREAM|SPEECH)_[A-Z_]+", UNIT_TEXT + NGINX)
    assert set(named) <= VARIABLES
    assert set(SERVER["environment"]) <= VARIABLES
    assert {entry["name"] for entry in CONTAINER["env"]} <= VARIABLES


@pytest.mark.parametrize("path", ["compose.yaml", "deploy/kubernetes.yaml", "deploy/whisper@.service"])
def test_keys_come_from_a_file(path: str) -> None:
    """A blank variable would leave the server open to all; a file that is missing stops the start."""
    assert set(re.findall(r"WHISPER_API_KEYS(?:: |=|, value: )\"?(.)", read(path))) == {"@"}


def test_stopping_takes_longer_than_any_request() -> None:
    service = unit()["Service"]
    assert int(service["TimeoutStopSec"]) == GRACE_SECONDS + 30
    assert service["KillMode"] == "mixed"
    for container in COMPOSE["services"].values():
        assert seconds(container["stop_grace_period"]) == GRACE_SECONDS + 30
    pause = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] == pause + GRACE_SECONDS + 30


def test_nginx_allows_what_the_server_allows() -> None:
    limit = directive("client_max_body_size")
    assert int(limit.removesuffix("m")) * 1024 * 1024 == Settings().max_body_bytes
    assert f"limit ({limit.removesuffix('m')} MiB)" in NGINX
    assert seconds(directive("proxy_read_timeout")) > GRACE_SECONDS


def test_nginx_lets_go_of_connections_before_the_server_does() -> None:
    [server_side] = re.findall(r"^keepalive = (\d+)", read("gunicorn.conf.py"), re.MULTILINE)
    [connections] = re.findall(r"^worker_connections = (\d+)", read("gunicorn.conf.py"), re.MULTILINE)
    assert seconds(directive("keepalive_timeout")) < int(server_side)
    kept = int(directive("worker_processes")) * int(directive("keepalive"))
    assert kept < int(connections) - THREADS, "beyond that Gunicorn closes what nginx keeps"


def test_nginx_asks_another_instance_once() -> None:
    assert directive("proxy_next_upstream") == "error http_503 non_idempotent"
    assert directive("proxy_next_upstream_tries") == "2"


def test_compose_gives_nginx_the_server_of_compose() -> None:
    shell = COMPOSE["services"]["nginx"]["command"][2]
    [(old, new)] = re.findall(r"sed 's/(.*?)/(.*?)/'", shell)
    assert NGINX.count(old) == 1
    assert new == "server whisper:8000"
    assert "./deploy/nginx.conf:/etc/nginx/whisper.conf:ro" in COMPOSE["services"]["nginx"]["volumes"]


def test_probes() -> None:
    paths = {
        kind: CONTAINER[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")
    }
    assert paths == {"startup": "/ready", "readiness": "/ready", "liveness": "/health"}
    startup = CONTAINER["startupProbe"]
    minutes = startup["periodSeconds"] * startup["failureThreshold"] // 60
    assert f"--start-period={minutes}m" in read("Dockerfile")
    [port] = CONTAINER["ports"]
    assert port == {"name": SERVICE["spec"]["ports"][0]["targetPort"], "containerPort": 8000}
    assert SERVICE["spec"]["selector"] == DEPLOYMENT["spec"]["selector"]["matchLabels"]


def test_everybody_is_the_user_of_the_image() -> None:
    [user] = re.findall(r"^USER (\d+):\1$", read("Dockerfile"), re.MULTILINE)
    context = POD["securityContext"]
    assert context["runAsNonRoot"]
    assert {context[key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {int(user)}
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert SERVER["read_only"]


def test_uploads_have_room() -> None:
    [tmp] = [volume["emptyDir"] for volume in POD["volumes"] if volume["name"] == "tmp"]
    assert int(tmp["sizeLimit"].removesuffix("Gi")) * 1024**3 > WORST_UPLOADS_BYTES
    each = Settings().max_body_bytes // 1024**2
    said = f"{WORST_UPLOADS} of {each} MiB at most, {WORST_UPLOADS_BYTES / 1024**3:.1f} GiB"
    assert all(said in text for text in (read("compose.yaml"), read("deploy/kubernetes.yaml"), UNIT_TEXT))


def test_the_unit_starts_the_program_as_the_makefile_does() -> None:
    service = unit()["Service"]
    folder = service["WorkingDirectory"]
    assert service["ExecStart"].startswith(f"{folder}/.venv/bin/")
    assert service["ExecStart"].replace(f"{folder}/.venv/bin/", "\t$(BIN)/") in read("Makefile")


@pytest.mark.parametrize("instance", [0, 1, 9])
def test_an_instance_has_a_device_and_a_port_of_its_own(instance: int) -> None:
    given = unit()["Service"]["Environment"].replace("%i", str(instance))
    settings = Settings.from_environ(dict(pair.split("=", 1) for pair in given.split()))
    assert (settings.devices, settings.port) == (f"cuda:{instance}", 8000 + instance)
    assert settings.model_dir == f"/var/lib/{unit()['Service']['StateDirectory']}"


def test_the_unit_is_hardened_but_leaves_the_gpu_and_the_compiler() -> None:
    service = unit()["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == service["ProtectHome"] == service["PrivateTmp"] == "yes"
    assert not {"PrivateDevices", "ProtectClock", "MemoryDenyWriteExecute", "DevicePolicy"} & set(service)
