"""The stages of the pipeline, and a clock that times them."""

from __future__ import annotations

import time

STAGES = ("resize", "ground", "network and risk", "fuse", "costmap")
"""In order, as in `Result.timings_ms`."""


class StageClock:
    """Times the stages of one frame.

    Attributes:
        timings_ms: stage → milliseconds.
    """

    def __init__(self) -> None:
        """Start the first stage."""
        self.timings_ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def end(self, stage: str) -> None:
        """End a stage and start the next one."""
        now = time.perf_counter()
        self.timings_ms[stage] = (now - self._last) * 1e3
        self._last = now
