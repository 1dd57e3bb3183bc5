"""Cameras, rigid transforms and grid bounds."""
