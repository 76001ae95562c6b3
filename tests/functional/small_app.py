"""The server with room for little sound, for Gunicorn as `tests.functional.small_app:app`.

Filling that of the real one would take gigabytes.
"""

from dataclasses import replace

from app import create_app
from app.held_audio import HeldAudio

SECONDS = 100

app = create_app()
runtime = app.extensions["runtime"]
reader = replace(runtime.transcriber.reader, held_audio=HeldAudio(SECONDS))
runtime.transcriber = replace(runtime.transcriber, reader=reader)
