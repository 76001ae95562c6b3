"""GET /metrics: the counts of all workers, for Prometheus."""

from flask import Blueprint, Response

from app.api import current_runtime
from app.metrics import CONTENT_TYPE

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Who asks needs a key where keys are asked for: Prometheus can send one."""
    return Response(current_runtime().metrics.text(), content_type=CONTENT_TYPE)
