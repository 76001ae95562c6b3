"""The `audio` blueprint: everything under /v1/audio."""

from flask import Blueprint

from app.api.audio.speech import create_speech, list_speech_models, list_voices
from app.api.audio.transcriptions import create_transcription
from app.api.audio.translations import create_translation

blueprint = Blueprint("audio", __name__)
blueprint.post("/transcriptions")(create_transcription)
blueprint.post("/translations")(create_translation)
blueprint.post("/speech")(create_speech)
blueprint.get("/voices")(list_voices)
blueprint.get("/models")(list_speech_models)
