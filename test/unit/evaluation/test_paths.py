"""Planning on a costmap is nav2's inflation and NavFn's weights, and the least-cost path among all."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest

from seg_perception.evaluation.costmap.paths import Body, best_way, cell_at, clear_footprint, inflate, way_weights

BODY = Body(radius=0.45, inflation_radius=1.2, cost_scaling=3.0)


def _dijkstra(weights: np.ndarray, start: tuple[int, int], goal: tuple[int, int]) -> float:
    """Least sum over edges of length times mean weight, written down plainly."""
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
def test_the_way_is_the_best_of_all_as_a_plain_dijkstra_finds_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((14, 17)) < 0.25, -1.0, 50.0 + 200.0 * rng.random((14, 17)))
    weights[2, 1] = weights[11, 15] = 50.0
    way = best_way(weights, (2, 1), (11, 15))
    expected = _dijkstra(weights, (2, 1), (11, 15))
    if way is None:
        assert expected == math.inf
        return
    assert tuple(way.cells[0]) == (2, 1) and tuple(way.cells[-1]) == (11, 15)
    assert np.abs(np.diff(way.cells, axis=0)).max() == 1, "each cell is next to the one before"
    assert weights[way.cells[:, 0], way.cells[:, 1]].min() > 0, "no way leads over forbidden cells"
    assert way.weight(weights) == pytest.approx(expected)


def test_a_goal_that_cannot_be_reached_is_replaced_by_the_nearest_cell_within_tolerance() -> None:
    weights = np.full((9, 9), 50.0)
    weights[3:6, 3:6] = -1.0
    assert best_way(weights, (0, 0), (4, 4)) is None
    way = best_way(weights, (0, 0), (4, 4), tolerance=2.0)
    assert way is not None and math.dist(way.cells[-1], (4, 4)) == 2.0


def test_a_robot_that_stands_on_a_forbidden_cell_may_leave_it() -> None:
    weights = np.full((5, 5), 50.0)
    weights[2, 2] = -1.0
    way = best_way(weights, (2, 2), (2, 4))
    assert way is not None and way.length(0.1) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("metres", "expected"), [(0.1, 253.0), (0.4, 253.0), (0.5, 216), (0.8, 88), (1.2, 26), (1.3, 0)]
)
def test_inflation_falls_off_as_nav2_computes_it(metres: float, expected: float) -> None:
    """252 exp(-3 (d - 0.45)), cut to whole numbers, as InflationLayer::computeCost does."""
    costs = np.zeros((3, 60))
    costs[1, 10] = 254.0
    inflated = inflate(costs, np.ones(costs.shape, bool), 0.1, BODY)
    assert math.floor(inflated[1, 10 + round(10 * metres)]) == expected
    assert inflated[1, 10] == 254.0


def test_graded_ground_is_never_made_cheaper_and_unknown_ground_stays_so_unless_the_robot_would_touch() -> None:
    costs = np.full((1, 40), 120.0)
    costs[0, 0] = 254.0
    known = np.ones(costs.shape, bool)
    known[0, [3, 8]] = False
    inflated = inflate(costs, known, 0.1, BODY)
    assert inflated[0, 3] == 253.0 and np.isnan(inflated[0, 8])
    assert (inflated[0, known[0]] >= costs[0, known[0]]).all() and inflated[0, 30] == 120.0


def test_weights_are_those_of_navfn() -> None:
    inflated = np.array([[0.0, 100.0, 252.0, 253.0, 254.0, np.nan]])
    np.testing.assert_allclose(way_weights(inflated), [[50.0, 130.0, 251.6, -1.0, -1.0, 253.0]])


def test_only_the_cells_under_the_robot_are_cleared() -> None:
    cleared = clear_footprint(np.full((21, 21), 254.0), (10, 10), 0.1, 0.45)
    row, col = np.nonzero(cleared == 0.0)
    assert np.hypot(row - 10, col - 10).max() <= 4.5 and len(row) == 69, "the lattice points within 4.5 of one of them"


def test_a_point_lies_in_the_cell_that_holds_it_on_either_side_of_the_origin() -> None:
    assert cell_at((0.05, -0.05), (-1.0, -1.0), 0.1) == (9, 10)
