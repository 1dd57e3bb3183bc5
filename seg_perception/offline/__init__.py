"""Replay: recordings through the pipeline, on this machine or in segments on the workers of a Ray cluster."""
