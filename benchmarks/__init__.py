"""Programs that measure the server; `python -m benchmarks` lists them."""

from app.environment import keep_packages_silent

keep_packages_silent()  # faster-whisper runs on onnxruntime too
