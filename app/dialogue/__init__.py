"""Chat messages with audio in them -> a reply. Knows neither Flask nor torch."""
