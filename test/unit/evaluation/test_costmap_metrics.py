"""Judges of costmaps: counts by hand, sight by brute force, regret against its own definition."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seg_perception.costmap.nav2_encoding import decode_costs, encode_costs
from seg_perception.errors import ConfigError
from seg_perception.evaluation.costmap.metrics import CellCounts, Rules, Truth, in_sight, judge_costmap, regret
from seg_perception.evaluation.costmap.paths import Body
from seg_perception.evaluation.costmap.run import CostmapRun
from seg_perception.evaluation.costmap.standard_drives import near_points
from seg_perception.evaluation.costmap.table import costmap_table
from seg_perception.geometry.grid_bounds import Raster
from seg_perception.geometry.transforms import Transform

RASTER = Raster(first_row=-20, first_col=0, rows=40, cols=60, resolution=0.1)  # x 0 to 6 m, y -2 to 2 m
EYE = (0.05, 0.05)
RULES = Rules(bands=(3.0, 6.0), tolerance=0.1)
BODY = Body(radius=0.15, inflation_radius=0.3)
EVERYWHERE = np.ones((40, 60), bool)


def _truth(costs: np.ndarray) -> Truth:
    return Truth(costs.astype(np.float32), np.ones(costs.shape, bool), costs >= 254)


def _encoded(costs: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    return encode_costs(costs, np.ones(costs.shape, bool) if known is None else known)


def test_values_of_a_costmap_are_read_as_they_were_meant() -> None:
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
    ours[10, 21] = 254.0  # one cell off: found
    ours[5, 55] = 254.0  # invented
    known = np.ones((40, 60), bool)
    known[20, 50] = False  # the far post: unknown, not false free
    known[:, 58:] = False
    hides_nothing = replace(_truth(true), stands=np.zeros((40, 60), bool))
    counts = judge_costmap(_encoded(ours, known), RASTER, hides_nothing, EYE, EVERYWHERE, RULES)
    assert counts.lethal.tolist() == [2, 1] and counts.recalled.tolist() == [1, 0]
    assert counts.exact.tolist() == [0, 0], "the post that was found is marked beside it"
    assert counts.false_free.tolist() == [1, 0], "the post that lies on known ground"
    assert counts.claimed.tolist() == [1, 1] and counts.confirmed.tolist() == [1, 0]
    x, y = RASTER.centres()[..., 0] - EYE[0], RASTER.centres()[..., 1] - EYE[1]
    far = (np.hypot(x, y) > 3.0) & (np.hypot(x, y) <= 6.0)
    assert counts.unknown[1] == 1 + np.count_nonzero(far[:, 58:]) and counts.unknown[0] == 0
    # 254 at the two true near posts, 254 at the cell claimed beside one of them, 220 at the dear ground.
    assert counts.cost_error[0] == pytest.approx(3 * 254.0 + 220.0)
    both = (counts + counts).total()
    assert both.lethal.tolist() == [6] and both.shares()["lethal_recall"][0] == pytest.approx(1 / 3)
    assert np.isnan(CellCounts.none(2).shares()["false_free"]).all()


def test_what_is_hidden_or_out_of_view_or_beyond_the_last_band_is_not_judged() -> None:
    true = np.zeros((40, 60))
    true[:, 20:24] = 1016.0  # a wall across everything, 0.4 m thick
    view = EVERYWHERE.copy()
    view[:10] = False
    counts = judge_costmap(_encoded(np.zeros((40, 60))), RASTER, _truth(true), EYE, view, RULES).total()
    assert counts.false_free == counts.lethal
    assert 30 <= counts.lethal[0] <= 2 * 30, "the face of the wall, at most two cells deep, in the rows in view"
    near = judge_costmap(_encoded(true), RASTER, _truth(true), EYE, view, Rules((1.0,), 0.1))
    assert near.lethal.tolist() == [0] and near.claimed.tolist() == [0]


def test_what_only_reaches_into_a_cell_outside_of_the_image_is_counted_apart() -> None:
    true = np.zeros((40, 60))
    true[10, 20] = true[30, 20] = 1016.0
    shown = EVERYWHERE.copy()
    shown[30, 20] = False
    counts = judge_costmap(
        _encoded(np.zeros((40, 60))), RASTER, replace(_truth(true), shown=shown), EYE, EVERYWHERE, RULES
    ).total()
    assert counts.lethal.tolist() == [1] and counts.false_free.tolist() == [1]
    assert counts.outside.tolist() == [1] and counts.shares()["out_of_image"].tolist() == [0.5]


def test_points_mark_the_cells_around_them() -> None:
    points = np.array([[2.05, 0.05, 1.0], [-3.0, 0.0, 0.5]])
    near = near_points(points, RASTER, 0.1)
    assert sorted(map(tuple, np.argwhere(near).tolist())) == [(19, 20), (20, 19), (20, 20), (20, 21), (21, 20)]
    assert not near_points(points[1:], RASTER, 0.1).any()


def _chord(start: np.ndarray, end: np.ndarray, low: np.ndarray) -> float:
    """Length within the unit square at `low` of the line between two points, by clipping."""
    along = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (low - start) / along, (low + 1 - start) / along
    enter, leave = max(np.minimum(a, b).max(), 0.0), min(np.maximum(a, b).min(), 1.0)
    return max(leave - enter, 0.0) * float(np.hypot(*along))


@pytest.mark.parametrize("seed", range(3))
def test_a_cell_is_in_sight_unless_its_line_crosses_something_that_stands(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stands = rng.random((40, 60)) < 0.02
    eye = np.array([rng.uniform(-1.0, 1.0), rng.uniform(-1.0, 1.0)])
    seen = in_sight(stands, RASTER, (eye[0], eye[1]), EVERYWHERE)
    at = np.array([eye[0] / 0.1, eye[1] / 0.1 + 20])  # in cells, (col, row)
    for row, col in rng.integers((40, 60), size=(400, 2)):
        end = np.array([col + 0.5, row + 0.5])
        away = float(np.hypot(*(end - at)))
        crossed = [0.0]
        for r, c in np.argwhere(stands):
            if np.hypot(c + 0.5 - at[0], r + 0.5 - at[1]) < away - 2.5:
                crossed.append(_chord(at, end, np.array([c, r])))
        nearer = [np.hypot(c - col, r - row) for r, c in np.argwhere(stands)]
        if max(crossed) > 0.75:
            assert not seen[row, col]
        elif max(crossed) == 0.0 and min(nearer) > 3.5:
            assert seen[row, col]


def test_the_true_map_has_no_regret_and_no_other_has_less() -> None:
    rng = np.random.default_rng(0)
    start, goal = (0.55, 0.05), (5.05, 0.05)
    for _ in range(8):
        true = np.where(rng.random((40, 60)) < 0.03, 1016.0, 40.0 * rng.integers(0, 6, (40, 60)))
        true[16:24, :10] = true[16:24, -12:] = 0.0
        assert regret(_encoded(np.minimum(true, 254)), RASTER, _truth(true), start, goal, BODY) in (0.0, None)
        other = np.where(rng.random((40, 60)) < 0.03, 254.0, 40.0 * rng.integers(0, 6, (40, 60)))
        paid = regret(_encoded(other), RASTER, _truth(true), start, goal, BODY)
        assert paid is None or paid >= 0.0


def test_regret_is_what_the_unseen_ground_costs_in_metres_of_free_ground() -> None:
    """0.5 m at a cost of 125 weigh three times as much as free ground; the best way goes around, 1 m aside and back."""
    true = np.zeros((40, 60))
    true[10:30, 30:35] = 125.0
    start, goal = (0.55, 0.05), (5.05, 0.05)
    free = np.zeros((40, 60))
    paid = regret(_encoded(free), RASTER, _truth(true), start, goal, BODY)
    through, around = 0.5 * 2.0, 2 * 1.0 * (np.sqrt(2) - 1)
    assert paid == pytest.approx(through - around, abs=0.05)
    blocked = np.zeros((40, 60))
    blocked[:, 30] = 254.0
    assert regret(_encoded(blocked), RASTER, _truth(true), start, goal, BODY) is None, "no way is no regret"


def test_driving_through_a_true_obstacle_costs_a_hundred_times_the_way() -> None:
    true = np.zeros((40, 60))
    true[20, 30] = 1016.0
    paid = regret(_encoded(np.zeros((40, 60))), RASTER, _truth(true), (0.55, 0.05), (5.05, 0.05), BODY)
    # The straight way touches the post for 0.3 m, give or take a cell; the way around it is hardly longer.
    assert paid is not None and 20.0 < paid < 45.0


def _result(x: float) -> Any:
    """A costmap of a robot at x on free ground."""
    pose = Transform.from_xyz_rpy(x, 0.0, 0.0, 0.0, 0.0, 0.0)
    frame = SimpleNamespace(odom_from_base=pose, base_from_optical=Transform.from_xyz_rpy(0.0, 0.0, 1.0, 0.0, 0.0, 0.0))
    return SimpleNamespace(frame=frame, costmap=np.zeros((40, 60), np.int8), raster=RASTER, timings_ms={"all": 1.0})


def test_the_goal_of_a_way_lies_on_the_drive_that_it_began_on() -> None:
    wall = np.zeros((40, 60))
    wall[:, 30:32] = 1016.0
    for apart, ways in ((False, 1), (True, 0)):
        run = CostmapRun(RULES, BODY)
        run.add(_result(0.5), _truth(wall), EVERYWHERE)
        if apart:
            run.end_drive()
        run.add(_result(5.6), _truth(wall), EVERYWHERE)
        assert run.ways == ways


@pytest.mark.parametrize("bands", [(), (0.0, 4.0), (8.0, 4.0), (4.0, float("nan"))])
def test_bands_that_do_not_rise_are_refused(bands: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="give rising numbers above 0"):
        Rules(bands)
    with pytest.raises(ConfigError, match="give 0 or more"):
        Rules(tolerance=-0.1)


def test_the_table_shows_each_band_and_a_dash_where_nothing_was_counted() -> None:
    figures = {
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
    text = costmap_table({"dusk": figures})
    row = (
        "| dusk | 0.980 / – | 0.750 / – | 0.000 / – | 0.500 / 0.250 | 0.00 / 0.12 | 3 / 10 | 0.50 [0.25, 0.75] "
        "| 0.10 | 31.2 |"
    )
    assert row in text and "0-4 m / 4-8 m" in text
