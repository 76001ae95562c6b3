"""GET /v1/models and /v1/models/{model}: the names that requests may use."""

from collections.abc import Mapping

from flask import Blueprint, Response, jsonify

from app.api import current_runtime
from app.api.admitted import request_context
from app.api.whole_response import SHORT_CONTEXT_NOTICE
from app.loaded_model import ModelFacts
from app.model_catalogue import no_model
from app.model_list import ServedModel

blueprint = Blueprint("models", __name__)


@blueprint.get("")
def list_models() -> Response:
    """Every name; requests may use more, which match a pattern."""
    names, loaded = current_runtime().catalogue.names(), _loaded()
    return _answer({"object": "list", "data": [_model(name, loaded) for name in names]})


@blueprint.get("/<path:name>")
def retrieve_model(name: str) -> Response:
    """One model, if requests may name it. SDKs send a slash in its name as `%2F`."""
    catalogue = current_runtime().catalogue
    if not catalogue.accepts(name) and name not in catalogue.speech_names():
        raise no_model(f"The model '{name}' does not exist.")
    return _answer(_model(name, _loaded()))


def _loaded() -> set[str]:
    """The models that any worker has loaded, by the names that /api/ps has for them."""
    with request_context() as context:
        workers = current_runtime().instance.listing(context.check).workers
    return {name for worker in workers for copy in worker.models for name in copy.names}


def _model(name: str, loaded: set[str]) -> dict[str, str | int]:
    """`created` and `owned_by` are the answering checkpoint's, 0 and "" before it has been looked at.

    Not OpenAI's fields: `loaded` and `size` (bytes on disk), which names of voices don't have, and `notice`,
    which only quantized weights have, and servers with WHISPER_CONTEXT=short.
    """
    runtime = current_runtime()
    served = runtime.models.served(runtime.catalogue.listed(name))
    model = runtime.models.facts_of(served) or ModelFacts(())
    entry: dict[str, str | int] = {
        "id": name,
        "object": "model",
        "created": model.created,
        "owned_by": model.owner,
    }
    if runtime.catalogue.accepts(name):
        entry |= {"loaded": runtime.models.name_of(served) in loaded, "size": model.file_bytes}
    return entry | _notice(model, served)


def _notice(model: ModelFacts, served: ServedModel) -> dict[str, str | int]:
    quantized = [model.notice] if model.quantized and model.notice else []
    short = [SHORT_CONTEXT_NOTICE] if model.names and served.context == "short" else []
    return {"notice": "; ".join(notices)} if (notices := quantized + short) else {}


def _answer(body: Mapping[str, object]) -> Response:
    response = jsonify(body)
    if notice := current_runtime().notice:
        response.headers["x-model-notice"] = notice
    return response
