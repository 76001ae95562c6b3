"""Programs that measure the server; `python -m benchmarks` lists them."""

from app.environment import disable_telemetry

disable_telemetry()  # faster-whisper runs on onnxruntime too
