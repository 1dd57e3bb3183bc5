"""Percentiles of durations over any number of frames, in constant memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

_STEP = math.log(1.01)


class DurationHistogram:
    """A histogram of durations with bins of 1 %, so a percentile is exact to half a percent.

    Attributes:
        counts: bin number → number of durations; can be stored as JSON in a checkpoint.
    """

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        """Start empty, or from the counts of another."""
        self.counts: Counter[int] = Counter(counts or {})

    def add(self, milliseconds: float) -> None:
        """Count one duration; all below a nanosecond share a bin."""
        self.counts[round(math.log(max(milliseconds, 1e-6)) / _STEP)] += 1

    def percentile(self, share: float) -> float:
        """The duration, ms, that a share (0..1) of all durations does not exceed; NaN if there are none."""
        total = sum(self.counts.values())
        reached = 0
        for number in sorted(self.counts):
            reached += self.counts[number]
            if reached >= share * total:
                return math.exp(number * _STEP)
        return math.nan

    def summary(self) -> dict[str, float]:
        """p50, p95 and p99 in ms, to three digits."""
        return {name: round(self.percentile(share), 3) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
