"""Recordings cut into stretches, spread over the workers of a cluster, and put together again."""
