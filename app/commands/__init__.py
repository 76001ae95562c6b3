"""What `python -m app` offers."""
