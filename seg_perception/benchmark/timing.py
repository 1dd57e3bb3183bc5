"""Interleaved timing of several tasks, and ratios with confidence intervals.

A machine is faster in one minute than in the next. So tasks take turns, A B A B, and are compared by the ratio of their
times: what slows the machine down slows both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Task = Callable[[int], float]
"""Does the work of the round with the given number and returns its duration, ms."""

_DRAWS = 2000
_INTERVAL = (0.025, 0.975)


def timed(work: Callable[[int], object], clock: Callable[[], float] = time.perf_counter) -> Task:
    """A task that times `work`, which gets the number of the round.

    Args:
        work: what to time.
        clock: seconds.
    """

    def task(number: int) -> float:
        start = clock()
        work(number)
        return (clock() - start) * 1e3

    return task


def interleaved(
    tasks: Mapping[str, Task], rounds: int, warm_up: int = 3, pause: float = 0.0
) -> dict[str, NDArray[np.float64]]:
    """Run tasks in turns: all of them in every round, in their order.

    Args:
        tasks: by name.
        rounds: number of rounds that count.
        warm_up: number of rounds before those, whose times are discarded; rounds are numbered through both.
        pause: before each task, s.

    Returns:
        Milliseconds, float64 [rounds], by name.
    """
    times = {name: np.zeros(rounds) for name in tasks}
    for number in range(warm_up + rounds):
        for name, task in tasks.items():
            time.sleep(pause)
            milliseconds = task(number)
            if number >= warm_up:
                times[name][number - warm_up] = milliseconds
    return times


def percentiles(times: NDArray[np.float64]) -> dict[str, float]:
    """p50, p95 and p99 of times, ms, and their spread: the middle half's width as a share of the median."""
    low, middle, high, p95, p99 = np.percentile(times, (25, 50, 75, 95, 99)).tolist()
    return {
        "p50": round(middle, 3),
        "p95": round(p95, 3),
        "p99": round(p99, 3),
        "spread": round((high - low) / middle, 3),
    }


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval that holds it with 95 % probability; NaN where there is none.

    Attributes:
        value: over all rounds.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def content(self) -> dict[str, float | None]:
        """For JSON, with None in place of NaN."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: round(number, 4) if math.isfinite(number) else None for name, number in numbers.items()}


def estimate(statistic: Callable[..., NDArray[np.float64]], *times: NDArray[np.float64]) -> Estimate:
    """A statistic of several interleaved tasks, with its bootstrap interval.

    Whole rounds are resampled, so what the tasks of a round have in common stays together (Efron, *Bootstrap
    methods*, Annals of Statistics 7, 1979; percentile interval). Rounds are taken as independent of each other; load
    that lasts for many rounds makes the interval too narrow.

    Args:
        statistic: takes one array [..., rounds] per task and returns [...].
        *times: float64 [rounds] each.
    """
    rounds = times[0].size
    drawn = np.random.default_rng(0).integers(0, rounds, (_DRAWS, rounds))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(*times))
        spread = statistic(*(each[drawn] for each in times))
    if not math.isfinite(value):
        return Estimate(math.nan, math.nan, math.nan)
    low, high = np.quantile(spread[np.isfinite(spread)], _INTERVAL).tolist()
    return Estimate(value, low, high)


def overhead(whole: NDArray[np.float64], network: NDArray[np.float64]) -> NDArray[np.float64]:
    """Overhead of the pipeline: its median over that of the network alone, less 1."""
    return np.asarray(np.median(whole, axis=-1) / np.median(network, axis=-1) - 1)


def speedup(
    baseline: NDArray[np.float64], whole: NDArray[np.float64], network: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Time of a baseline after the network over the overhead of the pipeline; NaN where the overhead is not above 0."""
    extra = np.median(whole, axis=-1) - np.median(network, axis=-1)
    return np.asarray(np.where(extra > 0, np.median(baseline, axis=-1) / extra, np.nan))


def ratio(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first's median over the second's."""
    return np.asarray(np.median(first, axis=-1) / np.median(second, axis=-1))
