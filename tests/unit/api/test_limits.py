"""GET /limits."""

import pytest

from app import create_app
from app.runtime import Runtime
from app.settings import Settings


@pytest.mark.parametrize("keys", [(), ("sk-first",)])
def test_it_tells_the_limits_to_everybody(keys: tuple[str, ...]) -> None:
    settings = Settings(model="demo", max_upload_mb=3, max_audio_seconds=90, api_keys=keys)
    client = create_app(settings, Runtime(settings)).test_client()
    answer = client.get("/limits")
    assert answer.status_code == 200
    assert answer.json == {
        "file_bytes": 3 * 1024 * 1024,
        "recording_seconds": 90,
        "key_required": bool(keys),
    }
