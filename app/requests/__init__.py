"""Checked fields -> what to transcribe, and the form of the answer."""
