"""Transcription while somebody speaks: OpenAI's realtime sessions over WebSocket.

Nothing here knows Flask, Gunicorn or torch: a session gets what it needs as `Services`.
"""
