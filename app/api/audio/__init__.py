"""The `audio` blueprint: everything under /v1/audio."""

from flask import Blueprint

from app.api.audio.transcriptions import create_transcription

blueprint = Blueprint("audio", __name__)
blueprint.post("/transcriptions")(create_transcription)
