"""The `chat` blueprint: everything under /v1/chat."""

from flask import Blueprint

from app.api.chat.completions import create_chat_completion

blueprint = Blueprint("chat", __name__)
blueprint.post("/completions")(create_chat_completion)
