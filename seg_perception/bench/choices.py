"""What there is to choose from, for the command line, which must not wait for what it does not need."""

from __future__ import annotations

PARTS = ("frame", "peers", "ros", "grow")
