"""Speedup of a converted network on this machine's CPU."""

from __future__ import annotations

import statistics

from seg_perception.inference.engine import Engine


def measure_speedup(reference: Engine, converted: Engine, runs: int) -> float:
    """Measure the median time of one network divided by that of another.

    Both run in turns, so that they see the same load and clock frequency.

    Args:
        reference: the baseline.
        converted: the engine to compare; a result above 1 means that its network is faster.
        runs: timed runs of each.
    """
    for engine in (reference, converted):
        engine.time_network()  # the first run also allocates
    before, after = [], []
    for _ in range(runs):
        before += reference.time_network()
        after += converted.time_network()
    return statistics.median(before) / statistics.median(after)
