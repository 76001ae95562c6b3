"""The bodies that PowerShell builds, replayed: there is no Windows here.

`dotnet_form` is what System.Net.Http's MultipartFormDataContent writes, and so what
tests/powershell/Invoke-Whisper-Audio-Transcription.ps1 sends; `handmade_form` is the string that
scripts for Windows PowerShell 5 join, which leaves as ISO-8859-1.
"""

from base64 import b64encode
from urllib.parse import quote

import pytest
import requests

from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT, GunicornServer
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT
from tests.openai_spec import check_response

BOUNDARY = "0f3c1a52-7f4e-4c0e-9d53-5b0d5a3f2c11"
SCRIPT = ROOT / "tests" / "powershell" / "Invoke-Whisper-Audio-Transcription.ps1"


def dotnet_form(fields: dict[str, str], name: str, audio: bytes) -> bytes:
    """Unquoted names; a file name that is not ASCII twice, as a MIME word and as RFC 5987 has it."""
    parts = [
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Disposition: form-data; name={field}\r\n\r\n{value}".encode()
        for field, value in fields.items()
    ]
    shown = name if name.isascii() else f'"=?utf-8?B?{b64encode(name.encode()).decode()}?="'
    disposition = f"form-data; name=file; filename={shown}; filename*=utf-8''{quote(name)}"
    parts.append(f"Content-Disposition: {disposition}\r\n\r\n".encode() + audio)
    return b"--%b\r\n" % BOUNDARY.encode() + joined(parts)


def handmade_form(audio: bytes) -> bytes:
    text = "\r\n".join(
        (
            f"--{BOUNDARY}",
            'Content-Disposition: form-data; name="file"; filename="alloy.wav"',
            "Content-Type: application/octet-stream\r\n",
            audio.decode("iso-8859-1"),
            f"--{BOUNDARY}",
            'Content-Disposition: form-data; name="model"\r\n',
            "whisper-1",
            f"--{BOUNDARY}--\r\n",
        )
    )
    return text.encode("iso-8859-1")


def joined(parts: list[bytes]) -> bytes:
    between = b"\r\n--%b\r\n" % BOUNDARY.encode()
    return between.join(parts) + b"\r\n--%b--\r\n" % BOUNDARY.encode()


def post(server: GunicornServer, body: bytes, **headers: str) -> requests.Response:
    return requests.post(
        f"{server.url}/v1/audio/transcriptions",
        data=body,
        headers={
            "Content-Type": f'multipart/form-data; boundary="{BOUNDARY}"',
            "Connection": "close",
            **headers,
        },
        hooks={"response": check_response},
        timeout=PATIENCE_SECONDS,
    )


@pytest.mark.parametrize("name", ["alloy.wav", '"two words.wav"', "Größe 会議.wav"])
def test_dotnet_form(server: GunicornServer, name: str) -> None:
    body = dotnet_form({"model": "whisper-1", "response_format": "json"}, name, FLAGSHIP.read_bytes())
    answer = post(server, body)
    assert answer.status_code == 200
    assert answer.json()["text"] == FLAGSHIP_TEXT


def test_dotnet_framework_expects_a_go_ahead(server: GunicornServer) -> None:
    body = dotnet_form({"model": "whisper-1"}, "alloy.wav", FLAGSHIP.read_bytes())
    assert post(server, body, Expect="100-continue").json()["text"] == FLAGSHIP_TEXT


def test_optional_parameters_of_the_script(server: GunicornServer) -> None:
    fields = {"prompt": "Schöne Grüße aus Köln", "language": "de", "response_format": "text"}
    body = dotnet_form({**fields, "model": "whisper-1"}, "a.wav", (DATA / "german.wav").read_bytes())
    answer = post(server, body)
    assert answer.content.decode("utf-8") == EXPECTED["german.wav"]["text"] + "\n"


def test_errors_carry_the_message_that_the_script_shows(server: GunicornServer) -> None:
    answer = post(server, dotnet_form({"model": "whisper-1"}, "a.wav", b"no audio" * 99))
    assert answer.status_code == 400
    assert "could not be decoded" in answer.json()["error"]["message"]


def test_handmade_form(server: GunicornServer) -> None:
    assert post(server, handmade_form(FLAGSHIP.read_bytes())).json()["text"] == FLAGSHIP_TEXT


def test_script_is_ascii_because_windows_powershell_reads_ansi() -> None:
    assert SCRIPT.read_bytes().isascii()
