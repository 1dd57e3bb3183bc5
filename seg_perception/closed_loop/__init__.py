"""Closed-loop drives in the simulator that compare risk-based costs with costs of the most probable class."""
