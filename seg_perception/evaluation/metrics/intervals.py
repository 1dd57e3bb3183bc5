"""Confidence intervals: Wilson's score interval for rates, the bootstrap for means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_Z = 1.959963984540054  # 97.5 % of a standard normal distribution lie below it
_RESAMPLES = 4000


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval; NaN without data.

    Attributes:
        value: the estimate.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float


def wilson(hits: int, trials: int) -> Interval:
    """The share hits / trials with Wilson's score interval, which also holds for few hits or trials.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if trials == 0:
        return Interval(math.nan, math.nan, math.nan)
    share, z2 = hits / trials, _Z**2
    middle = share + z2 / (2 * trials)
    reach = _Z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    scale = 1 + z2 / trials
    # At the ends the formula gives 0 and 1 up to rounding.
    low = 0.0 if hits == 0 else (middle - reach) / scale
    high = 1.0 if hits == trials else (middle + reach) / scale
    return Interval(share, low, high)


def bootstrap_mean(values: Sequence[float]) -> Interval:
    """The mean with the percentile bootstrap's interval. The draws are seeded: equal values give equal intervals.

    For a difference between two treatments of the same cases, give the differences case by case.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    if not len(values):
        return Interval(math.nan, math.nan, math.nan)
    data = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(0).integers(data.size, size=(_RESAMPLES, data.size))
    low, high = np.quantile(data[draws].mean(axis=1), (0.025, 0.975))
    return Interval(float(data.mean()), float(low), float(high))
