"""Costmap metrics: cell counts by hand, visibility by brute force, regret against its definition."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seg_perception.costmap.nav2_encoding import decode_costs, encode_costs
from seg_perception.errors import ConfigError
from seg_perception.evaluation.costmap.evaluator import CostmapEvaluator
from seg_perception.evaluation.costmap.metrics import (
    CellCounts,
    CostmapEvaluationConfig,
    GroundTruth,
    count_cells,
    regret,
    visible_cells,
)
from seg_perception.evaluation.costmap.paths import RobotFootprint
from seg_perception.evaluation.costmap.standard_drives import cells_near_points
from seg_perception.evaluation.costmap.table import costmap_table
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.transforms import Transform

BOUNDS = GridBounds(first_row=-20, first_col=0, rows=40, cols=60, resolution=0.1)  # x 0 to 6 m, y -2 to 2 m
EYE = (0.05, 0.05)
RULES = CostmapEvaluationConfig(bands=(3.0, 6.0), tolerance=0.1)
BODY = RobotFootprint(radius=0.15, inflation_radius=0.3)
EVERYWHERE = np.ones((40, 60), bool)


def _ground_truth(costs: np.ndarray) -> GroundTruth:
    return GroundTruth(costs.astype(np.float32), np.ones(costs.shape, bool), costs >= 254)


def _encoded(costs: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    return encode_costs(costs, np.ones(costs.shape, bool) if known is None else known)


def test_encoded_costs_are_decoded_within_two_units() -> None:
    """For whole costs up to 248 at most 2 more, never less; test_nav2 checks the same against nav2's own rule."""
    costs = np.arange(255.0)
    read, known = decode_costs(encode_costs(costs, np.ones(255, bool)))
    assert known.all() and (read >= costs).all() and (read[:249] <= costs[:249] + 2).all()
    read, known = decode_costs(np.array([-1, 99, 100, -5], np.int8))
    assert read.tolist() == [255.0, 253.0, 254.0, 254.0] and known.tolist() == [False, True, True, True]


def test_every_kind_of_cell_is_counted_once_and_in_its_band() -> None:
    true = np.zeros((40, 60))
    true[10, 20] = true[30, 20] = true[20, 50] = 1016.0  # two posts near, one far
    true[20, 28] = 220.0
    ours = np.zeros((40, 60))
    ours[10, 21] = 254.0  # one cell off: recalled
    ours[5, 55] = 254.0  # false alarm
    known = np.ones((40, 60), bool)
    known[20, 50] = False  # the far post: unknown, not false free
    known[:, 58:] = False
    hides_nothing = replace(_ground_truth(true), obstacle=np.zeros((40, 60), bool))
    counts = count_cells(_encoded(ours, known), BOUNDS, hides_nothing, EYE, EVERYWHERE, RULES)
    assert counts.lethal.tolist() == [2, 1] and counts.recalled.tolist() == [1, 0]
    assert counts.exact.tolist() == [0, 0], "the recalled post is marked in a neighbouring cell"
    assert counts.false_free.tolist() == [1, 0], "the post on known ground"
    assert counts.predicted.tolist() == [1, 1] and counts.confirmed.tolist() == [1, 0]
    x, y = BOUNDS.centres()[..., 0] - EYE[0], BOUNDS.centres()[..., 1] - EYE[1]
    far = (np.hypot(x, y) > 3.0) & (np.hypot(x, y) <= 6.0)
    assert counts.unknown[1] == 1 + np.count_nonzero(far[:, 58:]) and counts.unknown[0] == 0
    # 254 at the two true near posts, 254 at the lethal cell next to one of them, 220 at the expensive ground.
    assert counts.cost_error[0] == pytest.approx(3 * 254.0 + 220.0)
    both = (counts + counts).total()
    assert both.lethal.tolist() == [6] and both.shares()["lethal_recall"][0] == pytest.approx(1 / 3)
    assert np.isnan(CellCounts.none(2).shares()["false_free"]).all()


def test_occluded_out_of_view_and_distant_cells_are_not_evaluated() -> None:
    true = np.zeros((40, 60))
    true[:, 20:24] = 1016.0  # a wall across everything, 0.4 m thick
    view = EVERYWHERE.copy()
    view[:10] = False
    counts = count_cells(_encoded(np.zeros((40, 60))), BOUNDS, _ground_truth(true), EYE, view, RULES).total()
    assert counts.false_free == counts.lethal
    assert 30 <= counts.lethal[0] <= 2 * 30, "the face of the wall, at most two cells deep, in the rows in view"
    near = count_cells(_encoded(true), BOUNDS, _ground_truth(true), EYE, view, CostmapEvaluationConfig((1.0,), 0.1))
    assert near.lethal.tolist() == [0] and near.predicted.tolist() == [0]


def test_obstacles_that_are_not_in_the_image_are_counted_separately() -> None:
    true = np.zeros((40, 60))
    true[10, 20] = true[30, 20] = 1016.0
    in_image = EVERYWHERE.copy()
    in_image[30, 20] = False
    counts = count_cells(
        _encoded(np.zeros((40, 60))), BOUNDS, replace(_ground_truth(true), in_image=in_image), EYE, EVERYWHERE, RULES
    ).total()
    assert counts.lethal.tolist() == [1] and counts.false_free.tolist() == [1]
    assert counts.out_of_image.tolist() == [1] and counts.shares()["out_of_image"].tolist() == [0.5]


def test_points_mark_the_cells_around_them() -> None:
    points = np.array([[2.05, 0.05, 1.0], [-3.0, 0.0, 0.5]])
    near = cells_near_points(points, BOUNDS, 0.1)
    assert sorted(map(tuple, np.argwhere(near).tolist())) == [(19, 20), (20, 19), (20, 20), (20, 21), (21, 20)]
    assert not cells_near_points(points[1:], BOUNDS, 0.1).any()


def _chord(start: np.ndarray, end: np.ndarray, low: np.ndarray) -> float:
    """Length within the unit square at `low` of the line between two points, by clipping."""
    along = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (low - start) / along, (low + 1 - start) / along
    enter, leave = max(np.minimum(a, b).max(), 0.0), min(np.maximum(a, b).min(), 1.0)
    return max(leave - enter, 0.0) * float(np.hypot(*along))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_cell_is_visible_unless_its_line_of_sight_crosses_an_obstacle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    obstacle = rng.random((40, 60)) < 0.02
    camera_xy = np.array([rng.uniform(-1.0, 1.0), rng.uniform(-1.0, 1.0)])
    visible = visible_cells(obstacle, BOUNDS, (camera_xy[0], camera_xy[1]), EVERYWHERE)
    at = np.array([camera_xy[0] / 0.1, camera_xy[1] / 0.1 + 20])  # in cells, (col, row)
    for row, col in rng.integers((40, 60), size=(400, 2)):
        end = np.array([col + 0.5, row + 0.5])
        away = float(np.hypot(*(end - at)))
        crossed = [0.0]
        for r, c in np.argwhere(obstacle):
            if np.hypot(c + 0.5 - at[0], r + 0.5 - at[1]) < away - 2.5:
                crossed.append(_chord(at, end, np.array([c, r])))
        nearer = [np.hypot(c - col, r - row) for r, c in np.argwhere(obstacle)]
        if max(crossed) > 0.75:
            assert not visible[row, col]
        elif max(crossed) == 0.0 and min(nearer) > 3.5:
            assert visible[row, col]


def test_the_ground_truth_has_a_regret_of_zero_and_no_costmap_has_less() -> None:
    rng = np.random.default_rng(0)
    start, goal = (0.55, 0.05), (5.05, 0.05)
    for _ in range(8):
        true = np.where(rng.random((40, 60)) < 0.03, 1016.0, 40.0 * rng.integers(0, 6, (40, 60)))
        true[16:24, :10] = true[16:24, -12:] = 0.0
        assert regret(_encoded(np.minimum(true, 254)), BOUNDS, _ground_truth(true), start, goal, BODY) in (0.0, None)
        other = np.where(rng.random((40, 60)) < 0.03, 254.0, 40.0 * rng.integers(0, 6, (40, 60)))
        value = regret(_encoded(other), BOUNDS, _ground_truth(true), start, goal, BODY)
        assert value is None or value >= 0.0


def test_regret_is_the_excess_cost_in_metres_of_free_ground() -> None:
    """0.5 m at a cost of 125 weigh three times as much as free ground; the best path avoids it by 1 m to the side."""
    true = np.zeros((40, 60))
    true[10:30, 30:35] = 125.0
    start, goal = (0.55, 0.05), (5.05, 0.05)
    free = np.zeros((40, 60))
    value = regret(_encoded(free), BOUNDS, _ground_truth(true), start, goal, BODY)
    through, around = 0.5 * 2.0, 2 * 1.0 * (np.sqrt(2) - 1)
    assert value == pytest.approx(through - around, abs=0.05)
    blocked = np.zeros((40, 60))
    blocked[:, 30] = 254.0
    assert regret(_encoded(blocked), BOUNDS, _ground_truth(true), start, goal, BODY) is None, (
        "without a path there is no regret"
    )


def test_driving_through_a_true_obstacle_costs_a_hundred_times_the_distance() -> None:
    true = np.zeros((40, 60))
    true[20, 30] = 1016.0
    value = regret(_encoded(np.zeros((40, 60))), BOUNDS, _ground_truth(true), (0.55, 0.05), (5.05, 0.05), BODY)
    # The straight path touches the post for about 0.3 m; the path around it is hardly longer.
    assert value is not None and 20.0 < value < 45.0


def _result(x: float) -> Any:
    """A costmap of a robot at x on free ground."""
    pose = Transform.from_xyz_rpy(x, 0.0, 0.0, 0.0, 0.0, 0.0)
    frame = SimpleNamespace(odom_from_base=pose, base_from_optical=Transform.from_xyz_rpy(0.0, 0.0, 1.0, 0.0, 0.0, 0.0))
    return SimpleNamespace(frame=frame, costmap=np.zeros((40, 60), np.int8), bounds=BOUNDS, timings_ms={"all": 1.0})


def test_the_goal_of_a_path_lies_on_the_drive_of_its_costmap() -> None:
    wall = np.zeros((40, 60))
    wall[:, 30:32] = 1016.0
    for apart, planned in ((False, 1), (True, 0)):
        run = CostmapEvaluator(RULES, BODY)
        run.add(_result(0.5), _ground_truth(wall), EVERYWHERE)
        if apart:
            run.end_drive()
        run.add(_result(5.6), _ground_truth(wall), EVERYWHERE)
        assert run.planned == planned


@pytest.mark.parametrize("bands", [(), (0.0, 4.0), (8.0, 4.0), (4.0, float("nan"))])
def test_bands_that_do_not_ascend_are_refused(bands: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="give rising numbers above 0"):
        CostmapEvaluationConfig(bands)
    with pytest.raises(ConfigError, match="give 0 or more"):
        CostmapEvaluationConfig(tolerance=-0.1)


def test_the_table_shows_each_band_and_a_dash_for_undefined_values() -> None:
    summary = {
        "bands": ["0-4 m", "4-8 m"],
        "by_band": {
            "lethal_recall": [0.98, None],
            "lethal_exact": [0.75, None],
            "false_free": [0.0, None],
            "lethal_precision": [0.5, 0.25],
            "unknown": [0.0, 0.125],
            "cost_error": [3.2, 9.9],
        },
        "regret_m": [0.5, 0.25, 0.75],
        "no_way": 0.1,
        "latency_ms": {"p50": 31.25},
    }
    text = costmap_table({"dusk": summary})
    row = (
        "| dusk | 0.980 / – | 0.750 / – | 0.000 / – | 0.500 / 0.250 | 0.00 / 0.12 | 3 / 10 | 0.50 [0.25, 0.75] "
        "| 0.10 | 31.2 |"
    )
    assert row in text and "0-4 m / 4-8 m" in text
