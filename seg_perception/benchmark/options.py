"""The names of the parts, for the command line, whose help must not wait for heavy imports."""

from __future__ import annotations

PARTS = ("latency", "baselines", "ros", "grid", "scaling", "gpu")

LONG_PARTS = ("ray", "soak")
"""Parts that take long and run only when they are named."""
