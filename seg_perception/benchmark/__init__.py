"""Benchmarks of latency and memory: against the network alone, against baselines, and as inputs grow."""
