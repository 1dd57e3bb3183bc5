"""Decoding of point cloud messages."""
