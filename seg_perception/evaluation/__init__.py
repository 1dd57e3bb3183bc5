"""Judging networks and costmaps."""
