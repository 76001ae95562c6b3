"""GET /v1/models and /v1/models/{model}: the names that requests may use."""

from collections.abc import Mapping

from flask import Blueprint, Response, jsonify

from app.api import current_runtime
from app.api.whole_response import SHORT_CONTEXT_NOTICE
from app.model_catalogue import no_model

blueprint = Blueprint("models", __name__)


@blueprint.get("")
def list_models() -> Response:
    """Every name; requests may use more, which match a pattern."""
    names = current_runtime().catalogue.names()
    return _answer({"object": "list", "data": [_model(name) for name in names]})


@blueprint.get("/<path:name>")
def retrieve_model(name: str) -> Response:
    """One model, if requests may name it. SDKs send a slash in its name as `%2F`."""
    catalogue = current_runtime().catalogue
    if not catalogue.accepts(name) and name not in catalogue.speech_names():
        raise no_model(f"The model '{name}' does not exist.")
    return _answer(_model(name))


def _model(name: str) -> dict[str, str | int]:
    """`created` and `owned_by` are the answering checkpoint's, 0 and "" before it has been looked at.

    `notice` is not OpenAI's field; only quantized weights have it, and servers with WHISPER_CONTEXT=short.
    """
    runtime = current_runtime()
    served = runtime.models.served(runtime.catalogue.listed(name))
    model = runtime.models.facts_of(served)
    if model is None:
        return {"id": name, "object": "model", "created": 0, "owned_by": ""}
    quantized = [model.notice] if model.quantized and model.notice else []
    short = [SHORT_CONTEXT_NOTICE] if served.context == "short" else []
    notice = {"notice": "; ".join(notices)} if (notices := quantized + short) else {}
    return {"id": name, "object": "model", "created": model.created, "owned_by": model.owner, **notice}


def _answer(body: Mapping[str, object]) -> Response:
    response = jsonify(body)
    if notice := current_runtime().notice:
        response.headers["x-model-notice"] = notice
    return response
