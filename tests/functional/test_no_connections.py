"""Nothing leaves the machine, not from native code either, and nothing is left below HOME."""

import select
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT, GunicornServer, environment
from tests.functional.process_state import with_descendants
from tests.functional.realtime_client import TRANSCRIPTION, audio_of, realtime, session_of
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT, silence
from tests.functional.traced import CALLS, TracedServer, addresses, leads_out, outward, strace, traced_threads

pytestmark = pytest.mark.needs("strace")

WATCHED_SECONDS = 20
"""What onnxruntime would report it sends within the first twelve."""

PAGES = ("/", "/web/main.js", "/limits", "/docs", "/openapi.json", "/metrics", "/api/ps")
CALLER = """
import contextlib, socket
with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.sendto(b"", ("127.0.0.1", 53))
    udp.sendmsg([b""], [], 0, ("127.0.0.1", 53))
    udp.sendto(b"sa_family=AF_INET", ("127.0.0.1", 9))
    udp.connect(("192.0.2.1", 9))  # sends nothing
with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as names:
    names.connect("/var/run/nscd/socket")
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, for all programs that are started, and no other folder of the user's."""
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def bait() -> Iterator[socket.socket]:
    """Listens on loopback, for what a request might make the server fetch."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.mark.slow
def test_server_and_doctor_send_nothing_and_write_nothing_at_home(
    tmp_path: Path, home: Path, bait: socket.socket
) -> None:
    calls, calls_of_doctor = folder_in(tmp_path, "server"), folder_in(tmp_path, "doctor")
    with TracedServer(tmp_path / "server.log", calls) as server:
        server.wait_until_ready()
        watched_until = time.monotonic() + WATCHED_SECONDS
        asks_for_everything(server, tmp_path)
        refuses_to_fetch(server, f"http://127.0.0.1:{bait.getsockname()[1]}/speech.mp3", tmp_path)
        visit_of_doctor(calls_of_doctor)
        time.sleep(max(0, watched_until - time.monotonic()))
        family = set(with_descendants(server.pid))
        assert server.stop() == 0
    assert family <= traced_threads(calls)
    assert len(family) >= 3  # the master, the worker and a decoder, of which one core has one
    assert outward(calls) == outward(calls_of_doctor) == []
    assert select.select([bait], [], [], 0)[0] == []
    assert list(home.rglob("*")) == []


def folder_in(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


def visit_of_doctor(calls: Path) -> None:
    """With piper, so that another package runs on onnxruntime too."""
    piper = {"SPEECH_ENGINE": "piper", "SPEECH_VOICE": str(DATA / "piper" / "one_speaker.onnx")}
    visit = subprocess.run(
        [*strace(calls), sys.executable, "-m", "app", "doctor"],
        cwd=ROOT,
        env=environment(**piper),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert repr(FLAGSHIP_TEXT) in visit.stdout, visit.stdout + visit.stderr
    assert len(traced_threads(calls)) > 1


def test_what_would_be_seen(tmp_path: Path) -> None:
    calls = folder_in(tmp_path, "calls")
    subprocess.run([*strace(calls), sys.executable, "-c", CALLER], check=True, timeout=PATIENCE_SECONDS)
    assert [line.partition("(")[0] for line in outward(calls)] == ["sendto", "sendmsg", "connect", "connect"]


IPV6 = 'AF_INET6, sin6_port=htons({}), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "{}", &sin6_addr)'
TO_SERVER = '{sa_family=AF_INET, sin_port=htons(8000), sin_addr=inet_addr("127.0.0.1")}'
ELSEWHERE = TO_SERVER.replace("127", "10")


@pytest.mark.parametrize(
    ("call", "seen"),
    [
        (f"sendmmsg(3, [{{msg_hdr={{msg_name={TO_SERVER}}}}}], 1, 0)", [False]),
        (
            f"sendmmsg(3, [{{msg_name={TO_SERVER}}}, {{msg_name={TO_SERVER.replace('127', '10')}}}])",
            [False, True],
        ),
        (f"connect(3, {{sa_family={IPV6.format(80, '::1')}}}, 28) = 0", [False]),
        (f"connect(3, {{sa_family={IPV6.format(80, '::ffff:127.0.0.1')}}}, 28) = 0", [False]),
        (f"connect(3, {{sa_family={IPV6.format(53, '::1')}}}, 28) = 0", [True]),
        (f"connect(3, {{sa_family={IPV6.format(80, '2001:db8::1')}}}, 28) = -1 ENETUNREACH", [True]),
        ('connect(3, {sa_family=AF_UNIX, sun_path="/run/whisper/0/whisper.sock"}, 30) = 0', [False]),
        ('connect(3, {sa_family=AF_UNIX, sun_path=@"{\\0}"}, 5) = 0', [False]),
        ('connect(3, {sa_family=AF_UNIX, sun_path="/run/systemd/resolve/io.systemd.Resolve"}, 42)', [True]),
        ("sendto(3, ..., 20, 0, {sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}, 12) = 20", [False]),
        ("sendto(3, ..., 20, 0, {sa_family=AF_PACKET, sll_protocol=htons(ETH_P_ALL)}, 20) = 20", [True]),
        ("sendto(3, ..., 5, MSG_NOSIGNAL, NULL, 0) = 5", []),
    ],
)
def test_each_receiver_is_judged(call: str, seen: list[bool]) -> None:
    assert call.startswith(CALLS)
    assert [leads_out(address) for address in addresses(call)] == seen


def asks_for_everything(server: GunicornServer, folder: Path) -> None:
    """The silence gate hears all of a silent recording, so onnxruntime works in earnest."""
    silent = folder / "silent.wav"
    silent.write_bytes(silence(30))
    assert server.transcribe(silent).json()["text"] == ""
    assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
    assert "transcript.text.done" in server.transcribe(FLAGSHIP, stream="true").text
    form = {"data": {"model": "whisper-1"}, "files": {"file": (DATA / "german.wav").read_bytes()}}
    german = post(server, "/v1/audio/translations", **form)
    assert german.json()["text"] == EXPECTED["german.wav"]["translation"]
    data = b64encode(FLAGSHIP.read_bytes()).decode()
    spoken = chat(server, {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
    assert spoken.json()["choices"][0]["message"]["content"] == FLAGSHIP_TEXT
    speech = {"model": "tts-1", "voice": "alloy", "input": "Good day."}
    assert post(server, "/v1/audio/speech", json=speech).status_code == 200
    asks_like_clients_of_other_servers(server)
    speaks_in_a_session(server)
    assert "whisper-1" in server.get("/v1/models").text
    assert [server.get(path).status_code for path in PAGES] == [200] * len(PAGES)


def speaks_in_a_session(server: GunicornServer) -> None:
    """Whose turns end where onnxruntime hears nobody."""
    assert post(server, "/v1/realtime/client_secrets", json={}).status_code == 200
    with realtime(server.url) as session:
        session.update(session_of(turn_detection={"type": "server_vad"}))
        session.append(audio_of(DATA / "three_utterances.wav"))
        assert session.receive_until(f"{TRANSCRIPTION}.completed")["transcript"] == "Good morning."


def asks_like_clients_of_other_servers(server: GunicornServer) -> None:
    recording = FLAGSHIP.read_bytes()
    azure = "/openai/deployments/ours/audio/transcriptions?api-version=2024-06-01"
    for path, part in ((azure, "file"), ("/inference", "file"), ("/asr", "audio_file")):
        assert FLAGSHIP_TEXT in post(server, path, files={part: recording}).text
    detected = post(server, "/detect-language", files={"audio_file": recording})
    assert detected.json()["language_code"] == "en"
    assert post(server, "/v1/responses", json={"model": "gpt-4o", "input": "Hello."}).status_code == 404


def post(server: GunicornServer, path: str, **parts: Any) -> requests.Response:
    return requests.post(server.url + path, timeout=PATIENCE_SECONDS, **parts)


def chat(server: GunicornServer, part: dict[str, Any]) -> requests.Response:
    messages = [{"role": "user", "content": [part]}]
    return post(server, "/v1/chat/completions", json={"model": "gpt-4o-audio-preview", "messages": messages})


def refuses_to_fetch(server: GunicornServer, address: str, folder: Path) -> None:
    """Neither a link in a chat nor a playlist that names one is followed."""
    linked = chat(server, {"type": "image_url", "image_url": {"url": address}})
    assert linked.status_code == 400
    assert linked.json()["error"]["param"] == "messages[0].content[0].image_url"
    playlist = folder / "speech.mp3"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n")
    assert server.transcribe(playlist).status_code == 400
