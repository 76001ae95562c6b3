"""Checked fields -> what is to be transcribed, and how the answer is to look."""
