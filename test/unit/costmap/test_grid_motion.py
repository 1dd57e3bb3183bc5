"""The evidence grid moves with the robot: cells keep their position, and the origin does not drift."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_perception.costmap.evidence_grid import NEVER, EvidenceGrid
from seg_perception.errors import GeometryError
from seg_perception.settings.grid import GridSettings

ROAD = 0
SMALL = GridSettings(width=2.0, height=1.0, resolution=0.1, half_life=2.0, prior_strength=0.1, min_evidence=0.5)


def certain(label: int, count: int = 1) -> np.ndarray:
    return np.tile(np.eye(3, dtype=np.float32)[label], (count, 1))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0)), min_size=1, max_size=8))
def test_a_cell_keeps_its_position_on_the_ground_while_the_grid_moves(steps: list[tuple[float, float]]) -> None:
    """The reference is a dictionary from odom's cells to evidence that drops what leaves the window."""
    grid = EvidenceGrid(SMALL, 1)
    grid.evidence[0] = np.random.default_rng(0).random((10, 20))
    grid.seen_ns[:] = 1_700_000_000_000_000_000
    kept = {(row + grid.first_row, col + grid.first_col): grid.evidence[0, row, col] for row, col in np.ndindex(10, 20)}
    for x, y in steps:
        grid.move_onto(grid.bounds_at(x, y))
        assert grid.evidence.shape == (2, 10, 20)
        window = {(row + grid.first_row, col + grid.first_col) for row, col in np.ndindex(10, 20)}
        kept = {cell: value for cell, value in kept.items() if cell in window}
        for row, col in np.ndindex(10, 20):
            at = row + grid.first_row, col + grid.first_col
            assert grid.evidence[0, row, col] == kept.get(at, 0.0)
            assert grid.seen_ns[row, col] == (1_700_000_000_000_000_000 if at in kept else NEVER)
        left, bottom = grid.bounds.origin
        assert left <= x - 0.89 and x + 0.89 <= left + 2.0
        assert bottom <= y - 0.39 and y + 0.39 <= bottom + 1.0


def test_ten_thousand_small_moves_leave_the_origin_on_whole_cells() -> None:
    grid = EvidenceGrid(SMALL, 1)
    for step in range(10_000):
        grid.move_onto(grid.bounds_at(0.0371 * step, -0.0193 * step))
    left, bottom = grid.bounds.origin
    assert left == 0.1 * round(left / 0.1)
    assert bottom == 0.1 * round(bottom / 0.1)
    assert abs(left + 1.0 - 0.0371 * 9_999) <= 0.1


def test_the_cell_of_a_sample_does_not_depend_on_earlier_moves_of_the_grid() -> None:
    points = np.random.default_rng(6).uniform([6.8, 2.8], [8.2, 3.4], (200, 2))
    straight, wandering = EvidenceGrid(SMALL, 3), EvidenceGrid(SMALL, 3)
    for x in np.linspace(0.0, 7.5, 60):
        wandering.move_onto(wandering.bounds_at(float(x), -float(x)))
    for grid in (straight, wandering):
        grid.move_onto(grid.bounds_at(7.5, 3.1))
        grid.add(points, certain(ROAD, 200), np.ones(200, np.float32), 0)
    assert straight.bounds == wandering.bounds
    assert straight.evidence.any()
    np.testing.assert_array_equal(straight.evidence, wandering.evidence)


@pytest.mark.parametrize("position", [(math.nan, 0.0), (0.0, math.inf)])
def test_a_position_that_is_not_finite_is_refused_with_its_value(position: tuple[float, float]) -> None:
    with pytest.raises(GeometryError, match=r"position in odom is \(.*(nan|inf)"):
        EvidenceGrid(SMALL, 1).bounds_at(*position)
