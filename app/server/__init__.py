"""Gunicorn's side of the server: arbiter, worker, connections, logger and hooks."""
