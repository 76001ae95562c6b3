"""/api/ps, as speaches has it: which models are loaded, and loading and unloading them.

GET tells of all workers, and POST and DELETE reach all of them. `workers` and `silent_workers` are not
speaches' fields.
"""

from datetime import UTC, datetime, timedelta
from math import isfinite

from flask import Blueprint, Response, jsonify, request

from app.api import current_runtime
from app.api.access import require_admin
from app.api.admitted import keep_seconds_of, request_context
from app.api.application import incoming
from app.errors import ModelConflict
from app.instance_models import LoadedCopy

blueprint = Blueprint("ps", __name__)


@blueprint.get("")
def list_loaded() -> Response:
    """The names of all models that any worker has loaded, and what each worker has."""
    with request_context() as context:
        workers, silent = current_runtime().instance.listing(context.check)
    names = sorted({name for worker in workers for copy in worker.models for name in copy.names})
    return jsonify(
        models=names,
        workers=[
            {
                "worker": worker.worker,
                "device": worker.device,
                "models": [_shown(copy) for copy in worker.models],
            }
            for worker in workers
        ],
        silent_workers=silent,
    )


@blueprint.post("/<path:name>")
def load(name: str) -> tuple[Response, int]:
    """Load a model in every worker. 409 if it is loaded in all of them, unless `keep_alive` is set anew."""
    require_admin("load a model")
    keep_seconds = keep_seconds_of(request.args.to_dict())
    served = _served(name)
    with request_context() as context:
        loaded = current_runtime().instance.load(served, keep_seconds, context.check)
    if not loaded and keep_seconds is None:
        raise ModelConflict(
            f"The model '{name}' is already loaded.", param="model", code="model_already_loaded"
        )
    return jsonify(model=name, loaded=True), 201 if loaded else 200


@blueprint.delete("/<path:name>")
def unload(name: str) -> Response:
    """Unload a model in every worker that has it. 409 if one uses it, 404 if none has it."""
    require_admin("unload a model")
    served = _served(name)
    with request_context() as context:
        current_runtime().instance.unload(served, context.check)
    return jsonify(model=name, loaded=False)


def _served(name: str) -> str:
    """The name in WHISPER_MODELS of the model that a name means, "" for the first. Raises ModelNotFound."""
    incoming().model = name
    catalogue = current_runtime().catalogue
    return catalogue.listed(catalogue.require(name))


def _shown(copy: LoadedCopy) -> dict[str, object]:
    """`size` is what the weights take in memory; `expires_at` null while it is in use, or if it stays."""
    left, now = copy.expires_in_seconds, datetime.now(UTC)
    expires = (now + timedelta(seconds=left)).isoformat(timespec="seconds") if isfinite(left) else None
    return {
        "name": copy.names[0],
        "names": copy.names,
        "size": copy.weight_bytes,
        "requests": copy.leases,
        "expires_at": expires,
    }
