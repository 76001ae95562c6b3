"""Programs that measure the server; `python -m benchmarks` lists them."""
