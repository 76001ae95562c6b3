import subprocess
import sys

from flask import Flask

from app import create_app
from app.runtime import Runtime
from app.settings import Settings


def test_the_factory_needs_nothing_and_starts_nothing():
    app = create_app(Settings())
    assert isinstance(app, Flask)
    assert isinstance(app.extensions["runtime"], Runtime)
    assert app.test_client().get("/ready").status_code == 503


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("WHISPER_MAX_UPLOAD_MB", "3")
    assert create_app().config["MAX_UPLOAD_BYTES"] == 3 * 1024 * 1024


def test_two_applications_share_nothing():
    first, second = create_app(Settings(max_upload_mb=1)), create_app(Settings(max_upload_mb=2))
    assert first.extensions["runtime"] is not second.extensions["runtime"]
    assert first.config["MAX_CONTENT_LENGTH"] < second.config["MAX_CONTENT_LENGTH"]


def test_the_factory_imports_no_torch():
    program = (
        "import sys; from app import create_app; from app.settings import Settings; create_app(Settings());"
        "print(sorted({'torch', 'whisper', 'silero_vad'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
