"""What there is to choose from, for the command line, which must not wait for what it does not need."""

from __future__ import annotations

PARTS = ("frame", "peers", "ros", "grid", "grow", "gpu")

LONG_PARTS = ("ray", "soak")
"""Those that take so long that they only run when they are named."""
