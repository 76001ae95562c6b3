"""Chat messages with audio -> a reply. Imports neither Flask nor torch."""
