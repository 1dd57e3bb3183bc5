"""The evidence grid against a slow dictionary of cells and closed forms."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest

from seg_perception.costmap.cell_risk import OBSTACLE_COST
from seg_perception.costmap.evidence_grid import EvidenceGrid
from seg_perception.costmap.nav2_encoding import encode_costs
from seg_perception.errors import ConfigError
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.grid import GridSettings

ROAD, FENCE, SKY = range(3)
SECOND = 1_000_000_000
SMALL = GridSettings(width=2.0, height=1.0, resolution=0.1, half_life=2.0, prior_strength=0.1, min_evidence=0.5)


def matrix(alpha: float = 0.0, lethal_at: float = 254.0, fence: float = 1000.0) -> CostMatrix:
    return CostMatrix(
        classes=("Road", "Fence", "Sky"),
        misclassification=(1 - np.eye(3)).astype(np.float32),
        traverse=np.array([0.0, fence, 254.0], dtype=np.float32),
        standing=np.array([False, True, False]),
        overhang=np.zeros(3, np.float32),
        ignore=np.array([False, False, True]),
        alpha=alpha,
        lethal_at=lethal_at,
        path=Path("matrix.yaml"),
    )


def certain(label: int, count: int = 1) -> np.ndarray:
    return np.tile(np.eye(3, dtype=np.float32)[label], (count, 1))


def observe(grid: EvidenceGrid, x: float, y: float, probabilities: np.ndarray, weight: float, stamp_ns: int) -> None:
    """One sample of one cell."""
    grid.add(np.array([[x, y]]), np.asarray(probabilities, np.float32).reshape(1, 3), np.float32([weight]), stamp_ns)


def cell_of(grid: EvidenceGrid, x: float, y: float) -> tuple[int, int]:
    left, bottom = grid.bounds.origin
    return math.floor((y - bottom) / grid.settings.resolution), math.floor((x - left) / grid.settings.resolution)


def random_frame(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples in a patch so small that most cells get several, some outside the grid, some without weight."""
    generator = np.random.default_rng(seed)
    return (
        generator.uniform([-1.3, -0.7], [1.3, 0.7], (count, 2)),
        generator.dirichlet(np.ones(3), count).astype(np.float32),
        np.maximum(generator.uniform(-0.2, 1.0, count), 0.0).astype(np.float32),
    )


def test_a_sample_counts_in_the_cell_of_its_point_row_by_y_column_by_x() -> None:
    grid = EvidenceGrid(SMALL, 3)
    observe(grid, 0.73, -0.21, certain(FENCE), 1.0, 0)
    assert grid.bounds.origin == pytest.approx((-1.0, -0.5))
    assert np.argwhere(grid.evidence[FENCE]).tolist() == [[2, 17]]  # (-0.21 + 0.5) / 0.1 = 2.9; (0.73 + 1) / 0.1 = 17.3
    assert grid.evidence.sum() == pytest.approx(1.0)


def test_one_frame_adds_what_a_slow_loop_over_cells_adds() -> None:
    points, probabilities, weights = random_frame(1)
    grid = EvidenceGrid(SMALL, 3)
    grid.add(points, probabilities, weights, 0)
    expected = np.zeros_like(grid.evidence)
    for row in range(10):
        for col in range(20):
            x, y = -1.0 + 0.1 * col, -0.5 + 0.1 * row
            here = (points[:, 0] >= x) & (points[:, 0] < x + 0.1) & (points[:, 1] >= y) & (points[:, 1] < y + 0.1)
            if weights[here].sum() > 0:
                mean = np.average(probabilities[here].astype(float), axis=0, weights=weights[here])
                expected[:3, row, col] = mean * min(1.0, weights[here].sum())
    np.testing.assert_allclose(grid.evidence, expected, rtol=1e-5, atol=1e-6)


def test_many_samples_of_one_frame_in_one_cell_are_one_observation() -> None:
    grid = EvidenceGrid(SMALL, 3)
    grid.add(np.full((50, 2), 0.05), certain(ROAD, 50), np.ones(50, np.float32), 0)
    assert grid.evidence.sum() == pytest.approx(1.0)


def test_samples_outside_without_weight_or_not_finite_have_no_effect() -> None:
    grid = EvidenceGrid(SMALL, 3)
    points = np.array([[5.0, 0.0], [0.0, -5.0], [math.nan, 0.0], [1e300, 0.0], [-1.0001, 0.0], [0.0, 0.0], [0.0, 0.0]])
    probabilities = certain(ROAD, 7)
    probabilities[6, FENCE] = math.nan
    weights = np.array([1, 1, 1, 1, 1, 0, 1], dtype=np.float32)
    grid.add(points, probabilities, weights, 0)
    assert not grid.evidence.any()
    grid.add(points[:0], probabilities[:0], weights[:0], 1)
    assert not grid.evidence.any()


def test_evidence_halves_with_every_half_life() -> None:
    grid = EvidenceGrid(SMALL, 3)
    observe(grid, 0.0, 0.0, certain(ROAD), 0.8, 10 * SECOND)
    grid.advance(12 * SECOND)
    assert grid.evidence.sum() == pytest.approx(0.4)
    grid.advance(16 * SECOND)
    assert grid.evidence.sum() == pytest.approx(0.1)
    grid.advance(1000 * SECOND)
    assert not grid.evidence.any()


def test_old_evidence_becomes_exactly_0_and_not_slow_denormal_numbers() -> None:
    grid = EvidenceGrid(SMALL, 3)
    grid.add(*random_frame(5), 0)
    for step in range(1, 400):
        grid.advance(step * SECOND)
        remaining = grid.evidence[grid.evidence > 0.0]
        assert not remaining.size or remaining.min() > np.finfo(np.float32).tiny
    assert not grid.evidence.any()


def test_decay_in_many_steps_equals_decay_in_one() -> None:
    slow, fast = EvidenceGrid(SMALL, 3), EvidenceGrid(SMALL, 3)
    for grid in (slow, fast):
        grid.add(*random_frame(2), SECOND)
    for step in range(100):
        slow.advance(SECOND + step * SECOND // 25)
    fast.advance(SECOND + 99 * SECOND // 25)
    np.testing.assert_allclose(slow.evidence, fast.evidence, rtol=1e-4)


@pytest.mark.parametrize("stamps", [(7 * SECOND, 7 * SECOND), (7 * SECOND, 8 * SECOND)])
def test_the_order_in_which_two_frames_arrive_does_not_matter(stamps: tuple[int, int]) -> None:
    one, other = EvidenceGrid(SMALL, 3), EvidenceGrid(SMALL, 3)
    one.add(*random_frame(3), stamps[0])
    one.add(*random_frame(4), stamps[1])
    other.add(*random_frame(4), stamps[1])
    other.add(*random_frame(3), stamps[0])
    assert one.stamp_ns == other.stamp_ns == stamps[1]
    np.testing.assert_allclose(one.evidence, other.evidence, rtol=1e-5, atol=1e-7)


def test_time_set_back_empties_the_grid() -> None:
    grid = EvidenceGrid(SMALL, 3)
    for _ in range(5):
        observe(grid, 0.0, 0.0, certain(ROAD), 1.0, 900 * SECOND)
    observe(grid, 0.5, 0.0, certain(ROAD), 1.0, 3 * SECOND)
    assert grid.stamp_ns == 3 * SECOND
    _, known = grid.costs(matrix())
    assert np.argwhere(known).tolist() == [list(cell_of(grid, 0.5001, 0.0001))]


def test_the_cost_of_a_cell_is_that_of_the_posterior_computed_by_hand() -> None:
    grid = EvidenceGrid(SMALL, 3)
    observe(grid, 0.05, 0.05, np.array([0.9, 0.1, 0.0]), 1.0, 0)
    costs, known = grid.costs(matrix(fence=1000.0))
    cell = cell_of(grid, 0.05, 0.05)
    # Counts 0.9 and 0.1; the prior of 0.1 is shared by the two classes that are not ignored.
    # P(fence) = (0.1 + 0.05) / (1 + 0.1) = 0.13636...; times 1000 = 136.36...
    assert known[cell]
    assert costs[cell] == pytest.approx(1000.0 * 0.15 / 1.1, rel=1e-5)
    # alpha = 0.5: the worse half is the fence and 0.36364 of road: 136.36 / 0.5
    assert grid.costs(matrix(alpha=0.5, lethal_at=254.0))[0][cell] == 254.0
    assert grid.costs(matrix(alpha=0.5, fence=500.0))[0][cell] == pytest.approx(500.0 * 0.15 / 1.1 / 0.5, rel=1e-5)


def test_the_whole_risk_map_equals_the_formula_cell_by_cell() -> None:
    grid = EvidenceGrid(SMALL, 3)
    grid.evidence[:] = np.random.default_rng(11).exponential(0.4, grid.evidence.shape)
    grid.evidence[-1] *= np.random.default_rng(12).random((10, 20)) < 0.3
    grid.evidence[-1] *= 0.2
    for alpha in (0.0, 0.4):
        costs, known = grid.costs(matrix(alpha=alpha, fence=300.0))
        for row, col in np.ndindex(10, 20):
            road, fence, obstacle = (float(grid.evidence[label, row, col]) for label in (ROAD, FENCE, -1))
            seen, tail, risk = road + fence + obstacle, 1.0 - alpha, 0.0
            for cost, mass in ((OBSTACLE_COST, obstacle), (300.0, fence + 0.05), (0.0, road + 0.05)):
                share = min(mass / (seen + 0.1), tail)
                risk, tail = risk + cost * share / (1.0 - alpha), tail - share
            assert known[row, col] == (seen >= 0.5)
            expected = 255.0 if seen < 0.5 else 254.0 if risk >= 254.0 else risk
            assert costs[row, col] == pytest.approx(expected, rel=1e-5)


def test_a_measured_obstacle_is_lethal_and_an_image_without_heights_cannot_clear_it() -> None:
    grid = EvidenceGrid(SMALL, 3)
    here = np.array([[0.05, 0.05], [0.55, 0.05]])
    both = np.float32([[0.85, 0.0, 0.0, 0.15], [1.0, 0.0, 0.0, 0.0]])
    grid.add(here, both, np.ones(2, np.float32), 0)
    before, cell = grid.evidence.copy(), cell_of(grid, 0.05, 0.05)
    grid.add(here, certain(ROAD, 2), np.ones(2, np.float32), 0)
    added = grid.evidence - before
    assert added.sum() == pytest.approx(1.0) and added[ROAD][cell_of(grid, 0.55, 0.05)] == pytest.approx(1.0)
    assert grid.costs(matrix())[0][cell] == 254.0
    for _ in range(2):
        grid.add(here, np.float32([[1, 0, 0, 0]] * 2), np.ones(2, np.float32), 0)
    assert grid.costs(matrix())[0][cell] < 254.0, "measured again, it has gone"


def test_a_risk_of_at_least_lethal_at_is_lethal() -> None:
    grid = EvidenceGrid(SMALL, 3)
    observe(grid, 0.05, 0.05, np.array([0.9, 0.1, 0.0]), 1.0, 0)
    cell = cell_of(grid, 0.05, 0.05)
    assert grid.costs(matrix(lethal_at=136.0))[0][cell] == 254.0
    assert grid.costs(matrix(lethal_at=137.0))[0][cell] == pytest.approx(136.36, abs=0.01)


def test_little_evidence_is_unknown_and_never_free() -> None:
    grid = EvidenceGrid(SMALL, 3)
    observe(grid, 0.05, 0.05, certain(ROAD), 0.49, 0)
    costs, known = grid.costs(matrix())
    assert not known.any()
    assert (costs == 255.0).all()
    assert (encode_costs(costs, known) == -1).all()
    observe(grid, 0.05, 0.05, certain(ROAD), 0.49, 0)
    assert grid.costs(matrix())[1].sum() == 1


def test_a_cell_that_is_no_longer_seen_becomes_unknown_again() -> None:
    grid = EvidenceGrid(SMALL, 3)
    observe(grid, 0.05, 0.05, certain(ROAD), 1.0, SECOND)
    grid.advance(2 * SECOND)
    assert grid.costs(matrix())[1].any()
    grid.advance(4 * SECOND)
    assert not grid.costs(matrix())[1].any()


def test_thin_evidence_of_road_costs_more_than_thick_evidence() -> None:
    grid = EvidenceGrid(SMALL, 3)
    costs = []
    for _ in range(6):
        observe(grid, 0.05, 0.05, certain(ROAD), 0.6, 0)
        costs.append(float(grid.costs(matrix())[0].min()))
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 2 * costs[-1] > 0.0


def test_an_ignored_class_is_no_evidence_and_does_not_change_the_rest() -> None:
    grid = EvidenceGrid(SMALL, 3)
    for _ in range(100):
        observe(grid, 0.05, 0.05, certain(SKY), 1.0, 0)
    assert not grid.costs(matrix())[1].any()
    plain = EvidenceGrid(SMALL, 3)
    for _ in range(3):
        observe(grid, 0.05, 0.05, np.array([0.4, 0.1, 0.5]), 1.0, 0)
        observe(plain, 0.05, 0.05, np.array([0.8, 0.2, 0.0]), 0.5, 0)
    np.testing.assert_allclose(grid.costs(matrix())[0], plain.costs(matrix())[0], rtol=1e-5)


def test_evidence_that_is_not_a_number_is_unknown() -> None:
    grid = EvidenceGrid(SMALL, 3)
    grid.evidence[ROAD] = math.nan
    costs, known = grid.costs(matrix(alpha=0.3))
    assert not known.any()
    assert (costs == 255.0).all()


def test_a_restored_grid_continues_exactly_as_the_saved_one() -> None:
    grid = EvidenceGrid(SMALL, 3)
    grid.move_onto(grid.bounds_at(0.33, -0.77))
    grid.add(*random_frame(8), 1_700_000_000_123_456_789)
    file = io.BytesIO()
    np.savez(file, **grid.to_arrays())
    file.seek(0)
    restored = EvidenceGrid.from_arrays(SMALL, np.load(file))
    for continued in (grid, restored):
        continued.move_onto(continued.bounds_at(0.52, -0.41))
        continued.add(*random_frame(9), 1_700_000_000_223_456_789)
    assert (restored.first_row, restored.first_col, restored.stamp_ns) == (
        grid.first_row,
        grid.first_col,
        grid.stamp_ns,
    )
    assert restored.evidence.tobytes() == grid.evidence.tobytes()
    assert restored.costs(matrix())[0].tobytes() == grid.costs(matrix())[0].tobytes()


def test_saved_arrays_do_not_change_with_the_grid() -> None:
    grid = EvidenceGrid(SMALL, 3)
    saved = grid.to_arrays()
    grid.add(*random_frame(8), 5)
    assert not saved["evidence"].any()


def test_a_saved_grid_of_another_size_is_refused() -> None:
    saved = EvidenceGrid(SMALL, 3).to_arrays()
    with pytest.raises(ConfigError, match="10 x 20 cells and the settings ask for 200 x 200"):
        EvidenceGrid.from_arrays(GridSettings(), saved)
