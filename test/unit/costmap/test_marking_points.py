"""Marking and clearing points against a model of nav2's ObstacleLayer, written from its source."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from seg_perception.costmap.marking_points import MARK_HEIGHT, clearing_points, lethal_points
from seg_perception.geometry.grid_bounds import GridBounds

FREE, LETHAL, NO_INFORMATION = 0, 254, 255
BOUNDS = GridBounds(first_row=-37, first_col=103, rows=24, cols=40, resolution=0.1)


class ObstacleLayer:
    """A rolling costmap around the robot: cells on lines to clearing points are cleared, then points are marked."""

    def __init__(self, size: float, resolution: float) -> None:
        self.cells = round(size / resolution)
        self.resolution = resolution
        self.costs = np.full((self.cells, self.cells), NO_INFORMATION, np.uint8)
        self.first = np.zeros(2, int)  # (col, row) of cell (0, 0) on odom's cell lattice

    def update(self, robot: tuple[float, float], marking: np.ndarray, clearing: np.ndarray) -> None:
        first = np.floor((np.array(robot) - self.cells * self.resolution / 2) / self.resolution).astype(int)
        moved = np.full_like(self.costs, NO_INFORMATION)
        dx, dy = first - self.first
        for row in range(self.cells):
            for col in range(self.cells):
                if 0 <= row + dy < self.cells and 0 <= col + dx < self.cells:
                    moved[row, col] = self.costs[row + dy, col + dx]
        self.costs, self.first = moved, first
        origin = self._cell(np.array(robot))
        for point in clearing.astype(float):
            for cell in line(origin, self._cell(self._clipped(np.array(robot), point[:2]))):
                self.costs[cell] = FREE
        for x, y, z in marking.astype(float):
            row, col = self._cell(np.array([x, y]))
            if 0.0 <= z <= 2.0 and 0 <= row < self.cells and 0 <= col < self.cells:
                self.costs[row, col] = LETHAL

    def lethal(self) -> set[tuple[int, int]]:
        """(col, row) of the marked cells on odom's cell lattice."""
        return {(int(col + self.first[0]), int(row + self.first[1])) for row, col in np.argwhere(self.costs == LETHAL)}

    def _cell(self, xy: np.ndarray) -> tuple[int, int]:
        col, row = np.floor(xy / self.resolution).astype(int) - self.first
        return int(row), int(col)

    def _clipped(self, robot: np.ndarray, end: np.ndarray) -> np.ndarray:
        low = self.first * self.resolution
        high = low + self.cells * self.resolution - 1e-3
        if ((low <= end) & (end <= high)).all():
            return end
        bound = np.where(end > robot, high, low)
        return np.clip(robot + min((bound - robot) / (end - robot)) * (end - robot), low, high)


def line(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Bresenham's, both ends included."""
    delta = np.abs(np.subtract(end, start))
    step = np.sign(np.subtract(end, start))
    major = 0 if delta[0] >= delta[1] else 1
    cell, error = np.array(start), delta[major] // 2
    for _ in range(delta[major]):
        yield int(cell[0]), int(cell[1])
        cell[major] += step[major]
        error += delta[1 - major]
        if error >= delta[major]:
            cell[1 - major] += step[1 - major]
            error -= delta[major]
    yield int(cell[0]), int(cell[1])


def costmap(lethal: list[tuple[int, int]]) -> np.ndarray:
    """Unknown, with some free and graded cells, and these (row, col) lethal."""
    cells = np.full((BOUNDS.rows, BOUNDS.cols), -1, np.int8)
    cells[5:15, 5:30] = 0
    cells[10, 5:30] = 98
    for row, col in lethal:
        cells[row, col] = 100
    return cells


def robot_of(bounds: GridBounds) -> tuple[float, float]:
    left, bottom = bounds.origin
    return left + bounds.cols * bounds.resolution / 2 + 0.03, bottom + bounds.rows * bounds.resolution / 2 + 0.04


def on_lattice(bounds: GridBounds, lethal: list[tuple[int, int]]) -> set[tuple[int, int]]:
    return {(col + bounds.first_col, row + bounds.first_row) for row, col in lethal}


def test_only_lethal_cells_become_points_at_a_height_that_counts_as_an_obstacle() -> None:
    points = lethal_points(costmap([(0, 0), (23, 39)]), BOUNDS, ground=0.5)
    assert points.dtype == np.float32
    assert points == pytest.approx(np.array([[10.35, -3.65, 0.75], [14.25, -1.35, 0.75]]))
    assert 0.05 <= MARK_HEIGHT <= 0.5
    assert lethal_points(costmap([]), BOUNDS, ground=0.0).shape == (0, 3)


def test_the_border_has_every_outermost_cell_once() -> None:
    points = clearing_points(BOUNDS, ground=0.0)
    col, row = np.floor(points[:, :2].T / 0.1).astype(int)
    cells = set(zip((row - BOUNDS.first_row).tolist(), (col - BOUNDS.first_col).tolist(), strict=True))
    assert len(points) == len(cells) == 2 * (24 + 40) - 4
    assert all(row in (0, 23) or col in (0, 39) for row, col in cells)


@pytest.mark.parametrize("size", [2.0, 2.4, 4.0, 6.0])
@pytest.mark.parametrize("resolution", [0.1, 0.15])
def test_clearing_points_clear_every_cell_of_the_costmap_in_a_layer_of_any_size(size: float, resolution: float) -> None:
    layer = ObstacleLayer(size, resolution)
    robot = robot_of(BOUNDS)
    everywhere = lethal_points(np.full((BOUNDS.rows, BOUNDS.cols), 100, np.int8), BOUNDS, 0.0)
    layer.update(robot, everywhere, np.empty((0, 3)))
    assert layer.lethal()
    layer.update(robot, np.empty((0, 3)), clearing_points(BOUNDS, 0.0))
    assert not layer.lethal()


def test_a_layer_holds_the_lethal_cells_of_the_latest_costmap_and_no_older_ones() -> None:
    layer, robot = ObstacleLayer(4.0, 0.1), robot_of(BOUNDS)
    border = clearing_points(BOUNDS, 0.0)
    first, second = [(3, 7), (12, 20), (20, 35)], [(12, 20), (12, 21)]
    layer.update(robot, lethal_points(costmap(first), BOUNDS, 0.0), border)
    assert layer.lethal() == on_lattice(BOUNDS, first), "marks win over lines that pass them"
    layer.update(robot, lethal_points(costmap(second), BOUNDS, 0.0), border)
    assert layer.lethal() == on_lattice(BOUNDS, second), "marks of the first costmap are cleared"


def test_a_retracted_costmap_leaves_nothing_in_the_layer() -> None:
    layer, robot = ObstacleLayer(4.0, 0.1), robot_of(BOUNDS)
    layer.update(robot, lethal_points(costmap([(3, 7), (20, 35)]), BOUNDS, 0.0), clearing_points(BOUNDS, 0.0))
    blank = np.full((BOUNDS.rows, BOUNDS.cols), -1, np.int8)
    layer.update(robot, lethal_points(blank, BOUNDS, 0.0), clearing_points(BOUNDS, 0.0))
    assert not layer.lethal()


def test_without_clearing_points_a_mark_would_stay_for_ever() -> None:
    layer, robot = ObstacleLayer(4.0, 0.1), robot_of(BOUNDS)
    layer.update(robot, lethal_points(costmap([(3, 7)]), BOUNDS, 0.0), np.empty((0, 3)))
    layer.update(robot, lethal_points(costmap([]), BOUNDS, 0.0), np.empty((0, 3)))
    assert layer.lethal() == on_lattice(BOUNDS, [(3, 7)])


def test_marks_keep_their_position_while_robot_and_costmap_move() -> None:
    layer = ObstacleLayer(2.4, 0.1)
    for step in range(6):
        bounds = GridBounds(BOUNDS.first_row, BOUNDS.first_col + 2 * step, BOUNDS.rows, BOUNDS.cols, BOUNDS.resolution)
        cells = np.full((bounds.rows, bounds.cols), -1, np.int8)
        cells[12, 28 - 2 * step] = 100
        layer.update(robot_of(bounds), lethal_points(cells, bounds, 0.0), clearing_points(bounds, 0.0))
        assert layer.lethal() == on_lattice(BOUNDS, [(12, 28)])
