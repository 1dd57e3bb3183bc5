"""Small helpers that know nothing of robots."""
