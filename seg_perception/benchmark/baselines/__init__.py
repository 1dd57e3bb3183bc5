"""Baselines: what is in use today, implemented from public sources."""
