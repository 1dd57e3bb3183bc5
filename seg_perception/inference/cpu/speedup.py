"""How much faster a converted network is on this machine's CPU."""

from __future__ import annotations

import statistics

from seg_perception.inference.engine import Engine


def times_as_fast(reference: Engine, converted: Engine, runs: int) -> float:
    """Median time of one network over that of another.

    Both run in turns, so that they share the load and the clock of the moment.

    Args:
        reference: the engine to compare with.
        converted: the engine in question; above 1 its network is the faster one.
        runs: of each.
    """
    for engine in (reference, converted):
        engine.time_network()  # the first run also allocates
    before, after = [], []
    for _ in range(runs):
        before += reference.time_network()
        after += converted.time_network()
    return statistics.median(before) / statistics.median(after)
