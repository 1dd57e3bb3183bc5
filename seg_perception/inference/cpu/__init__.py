"""Compiled loops that follow the network on a CPU."""
