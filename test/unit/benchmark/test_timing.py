"""Figures of things that take turns: the turns, the percentiles and the intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seg_perception.benchmark.targets import Verdict, verdicts
from seg_perception.benchmark.timing import around, estimate, figures, interleaved, ratio, timed, times_faster


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_tasks_take_turns_and_warm_up_rounds_count_nowhere() -> None:
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


def test_percentiles_and_spread_are_those_of_a_known_row_of_times() -> None:
    told = figures(np.arange(101.0) + 50)
    assert told == {"p50": 100, "p95": 145, "p99": 149, "spread": 0.5}


def test_load_that_slows_everything_down_leaves_the_figures_alone() -> None:
    rng = np.random.default_rng(0)
    load = np.exp(rng.normal(0, 0.5, 400))
    network, whole, peer = 10 * load, 12 * load, 16 * load
    assert estimate(around, whole, network).value == pytest.approx(0.2)
    assert estimate(times_faster, peer, whole, network).value == pytest.approx(8)
    told = estimate(ratio, whole, network)
    assert (told.low, told.high) == pytest.approx((1.2, 1.2))


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        told = estimate(ratio, rng.normal(30, 3, 50), rng.normal(20, 2, 50))
        held += told.low <= 1.5 <= told.high
        assert told.low <= told.value <= told.high
    assert 0.88 <= held / 200 <= 1.0


def test_a_frame_that_seems_to_take_no_longer_than_its_network_is_no_figure() -> None:
    told = estimate(times_faster, np.full(9, 5.0), np.full(9, 10.0), np.full(9, 10.0))
    assert told.content() == {"value": None, "low": None, "high": None}


def verdict(value: float | None) -> Verdict:
    return Verdict("it", {"value": value, "low": value, "high": value}, 0.2, "most", "share")


def test_a_goal_is_met_up_to_its_limit_and_never_without_a_figure() -> None:
    assert [verdict(value).met for value in (0.2, 0.21, None)] == [True, False, False]
    least = replace(verdict(8.0), limit=8.0, side="least", form="times")
    assert least.met and not replace(least, limit=8.1).met
    assert least.line() == "met     it: 8×, at least 8×"


def test_every_figure_with_a_goal_is_held_against_it() -> None:
    share = {"value": 0.15, "low": 0.1, "high": 0.2}
    frame = {"width": 480, "height": 360, "classes": 12, "cells": 200, "around": share}
    peer = {**frame, "key": "nav2_tutorial", "peer": "nav2", "faster": share, "agreement": {"labels": 0.9995}}
    other_size, other_grid = {**frame, "width": 960}, {**frame, "cells": 400}
    large = {**frame, "width": 1024, "height": 512}
    told = verdicts({"frame": [frame, other_size, other_grid, large], "peers": [peer]})
    assert [(each.limit, each.side, each.met) for each in told] == [
        (0.2, "most", True),
        (0.1, "most", False),
        (8.0, "least", False),
        (0.999, "least", True),
    ]
