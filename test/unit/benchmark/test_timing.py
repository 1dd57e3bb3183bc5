"""Interleaved timing: turns, percentiles, ratios, confidence intervals and targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seg_perception.benchmark.targets import TargetResult, check_targets
from seg_perception.benchmark.timing import estimate, interleaved, overhead, percentiles, ratio, speedup, timed


class Clock:
    """A clock that only moves when set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_tasks_take_turns_and_warm_up_rounds_do_not_count() -> None:
    clock, order = Clock(), []

    def work(name: str, seconds: float):
        def do(number: int) -> None:
            order.append((name, number))
            clock.now += seconds * (100 if number < 2 else number)

        return timed(do, clock)

    times = interleaved({"a": work("a", 0.001), "b": work("b", 0.01)}, rounds=3, warm_up=2)
    assert order == [(name, number) for number in range(5) for name in "ab"]
    np.testing.assert_allclose(times["a"], [2, 3, 4])
    np.testing.assert_allclose(times["b"], [20, 30, 40])


def test_percentiles_and_spread_of_known_times() -> None:
    reported = percentiles(np.arange(101.0) + 50)
    assert reported == {"p50": 100, "p95": 145, "p99": 149, "spread": 0.5}


def test_load_that_slows_every_task_does_not_change_the_ratios() -> None:
    rng = np.random.default_rng(0)
    load = np.exp(rng.normal(0, 0.5, 400))
    network, whole, baseline = 10 * load, 12 * load, 16 * load
    assert estimate(overhead, whole, network).value == pytest.approx(0.2)
    assert estimate(speedup, baseline, whole, network).value == pytest.approx(8)
    reported = estimate(ratio, whole, network)
    assert (reported.low, reported.high) == pytest.approx((1.2, 1.2))


@pytest.mark.slow
def test_confidence_intervals_contain_the_true_ratio_about_95_percent_of_the_time() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        reported = estimate(ratio, rng.normal(30, 3, 50), rng.normal(20, 2, 50))
        held += reported.low <= 1.5 <= reported.high
        assert reported.low <= reported.value <= reported.high
    assert 0.88 <= held / 200 <= 1.0


def test_without_overhead_there_is_no_speedup() -> None:
    reported = estimate(speedup, np.full(9, 5.0), np.full(9, 10.0), np.full(9, 10.0))
    assert reported.content() == {"value": None, "low": None, "high": None}


def target_result(value: float | None) -> TargetResult:
    return TargetResult("it", {"value": value, "low": value, "high": value}, 0.2, "most", "share")


def test_a_target_is_met_up_to_its_limit_and_never_without_a_figure() -> None:
    assert [target_result(value).met for value in (0.2, 0.21, None)] == [True, False, False]
    least = replace(target_result(8.0), limit=8.0, side="least", form="times")
    assert least.met and not replace(least, limit=8.1).met
    assert least.line() == "met     it: 8×, at least 8×"


def test_every_figure_with_a_target_is_checked() -> None:
    share = {"value": 0.15, "low": 0.1, "high": 0.2}
    frame = {"width": 480, "height": 360, "classes": 12, "cells": 200, "overhead": share}
    baseline = {**frame, "key": "nav2_tutorial", "baseline": "nav2", "speedup": share, "agreement": {"labels": 0.9995}}
    other_size, other_grid = {**frame, "width": 960}, {**frame, "cells": 400}
    large = {**frame, "width": 1024, "height": 512}
    reported = check_targets({"latency": [frame, other_size, other_grid, large], "baselines": [baseline]})
    assert [(each.limit, each.side, each.met) for each in reported] == [
        (0.2, "most", True),
        (0.1, "most", False),
        (8.0, "least", False),
        (0.999, "least", True),
    ]
