"""GET /metrics: the counts of all workers, for Prometheus."""

from flask import Blueprint, Response

from app.api import current_runtime
from app.metrics import CONTENT_TYPE

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def metrics() -> Response:
    """The counts. If the server has API keys, one is required here too: Prometheus can send it."""
    return Response(current_runtime().metrics.text(), content_type=CONTENT_TYPE)
