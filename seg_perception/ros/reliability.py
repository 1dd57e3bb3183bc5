"""The reliability of a subscription, as parameters and messages name it."""

from typing import Literal

Reliability = Literal["auto", "best_effort", "reliable"]
"""Values of the reliability parameters; only auto allows a change while running."""

BEST_EFFORT = "best effort"
RELIABLE = "reliable"
