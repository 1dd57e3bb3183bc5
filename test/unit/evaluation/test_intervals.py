"""Confidence intervals of rates and means, against published values and theory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seg_perception.evaluation.metrics.intervals import bootstrap_mean, wilson


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(hits: int, trials: int, low: float, high: float) -> None:
    """Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), table I."""
    interval = wilson(hits, trials)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    mirrored = wilson(trials - hits, trials)
    assert mirrored.low == pytest.approx(1.0 - interval.high) and mirrored.high == pytest.approx(1.0 - interval.low)


def test_without_data_the_interval_is_undefined() -> None:
    assert math.isnan(wilson(0, 0).value) and math.isnan(bootstrap_mean([]).low)


def test_the_bootstrap_agrees_with_the_normal_interval_and_is_reproducible() -> None:
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    interval = bootstrap_mean(values.tolist())
    half = 1.96 * values.std(ddof=1) / math.sqrt(values.size)
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.02)
    assert bootstrap_mean(values.tolist()) == interval
