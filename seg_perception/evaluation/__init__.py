"""Evaluation of networks and costmaps; `metrics` is a layer of its own, below training."""
