"""Path planning on a costmap: nav2's inflation, NavFn's weights, and the shortest path."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest

from seg_perception.evaluation.costmap.paths import (
    RobotFootprint,
    cell_at,
    clear_footprint,
    inflate,
    navfn_weights,
    shortest_path,
)

BODY = RobotFootprint(radius=0.45, inflation_radius=1.2, cost_scaling=3.0)


def _dijkstra(weights: np.ndarray, start: tuple[int, int], goal: tuple[int, int]) -> float:
    """Least sum over edges of length times mean weight, by a simple reference."""
    best = {start: 0.0}
    queue = [(0.0, start)]
    while queue:
        so_far, (row, col) = heapq.heappop(queue)
        if (row, col) == goal:
            return so_far
        if so_far > best[row, col]:
            continue
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                there = row + down, col + right
                if there == (row, col) or not (0 <= there[0] < weights.shape[0] and 0 <= there[1] < weights.shape[1]):
                    continue
                if weights[there] < 0:
                    continue
                total = so_far + math.hypot(down, right) * 0.5 * (weights[row, col] + weights[there])
                if total < best.get(there, math.inf):
                    best[there] = total
                    heapq.heappush(queue, (total, there))
    return math.inf


@pytest.mark.parametrize("seed", range(12))
def test_the_path_is_as_short_as_that_of_a_plain_dijkstra(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((14, 17)) < 0.25, -1.0, 50.0 + 200.0 * rng.random((14, 17)))
    weights[2, 1] = weights[11, 15] = 50.0
    path = shortest_path(weights, (2, 1), (11, 15))
    expected = _dijkstra(weights, (2, 1), (11, 15))
    if path is None:
        assert expected == math.inf
        return
    assert tuple(path.cells[0]) == (2, 1) and tuple(path.cells[-1]) == (11, 15)
    assert np.abs(np.diff(path.cells, axis=0)).max() == 1, "each cell is next to the one before"
    assert weights[path.cells[:, 0], path.cells[:, 1]].min() > 0, "no path leads over forbidden cells"
    assert path.weight(weights) == pytest.approx(expected)


def test_an_unreachable_goal_is_replaced_by_the_nearest_cell_within_the_tolerance() -> None:
    weights = np.full((9, 9), 50.0)
    weights[3:6, 3:6] = -1.0
    assert shortest_path(weights, (0, 0), (4, 4)) is None
    path = shortest_path(weights, (0, 0), (4, 4), tolerance=2.0)
    assert path is not None and math.dist(path.cells[-1], (4, 4)) == 2.0


def test_a_path_may_start_on_a_forbidden_cell() -> None:
    weights = np.full((5, 5), 50.0)
    weights[2, 2] = -1.0
    path = shortest_path(weights, (2, 2), (2, 4))
    assert path is not None and path.length(0.1) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("metres", "expected"), [(0.1, 253.0), (0.4, 253.0), (0.5, 216), (0.8, 88), (1.2, 26), (1.3, 0)]
)
def test_inflation_decays_as_in_nav2(metres: float, expected: float) -> None:
    """252 exp(-3 (d - 0.45)), cut to whole numbers, as InflationLayer::computeCost does."""
    costs = np.zeros((3, 60))
    costs[1, 10] = 254.0
    inflated = inflate(costs, np.ones(costs.shape, bool), 0.1, BODY)
    assert math.floor(inflated[1, 10 + round(10 * metres)]) == expected
    assert inflated[1, 10] == 254.0


def test_inflation_never_lowers_a_cost_and_keeps_unknown_cells_beyond_the_inscribed_radius() -> None:
    costs = np.full((1, 40), 120.0)
    costs[0, 0] = 254.0
    known = np.ones(costs.shape, bool)
    known[0, [3, 8]] = False
    inflated = inflate(costs, known, 0.1, BODY)
    assert inflated[0, 3] == 253.0 and np.isnan(inflated[0, 8])
    assert (inflated[0, known[0]] >= costs[0, known[0]]).all() and inflated[0, 30] == 120.0


def test_weights_are_those_of_navfn() -> None:
    inflated = np.array([[0.0, 100.0, 252.0, 253.0, 254.0, np.nan]])
    np.testing.assert_allclose(navfn_weights(inflated), [[50.0, 130.0, 251.6, -1.0, -1.0, 253.0]])


def test_only_the_cells_under_the_robot_are_cleared() -> None:
    cleared = clear_footprint(np.full((21, 21), 254.0), (10, 10), 0.1, 0.45)
    row, col = np.nonzero(cleared == 0.0)
    assert np.hypot(row - 10, col - 10).max() <= 4.5 and len(row) == 69, "the lattice points within 4.5 of one of them"


def test_a_point_lies_in_the_cell_that_holds_it_on_either_side_of_the_origin() -> None:
    assert cell_at((0.05, -0.05), (-1.0, -1.0), 0.1) == (9, 10)
