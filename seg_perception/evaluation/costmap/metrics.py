"""Costmap metrics: lethal recall and precision, false free, unknown and cost error by range, and regret of paths.

Only visible cells are evaluated: they lie in the camera's field of view and no obstacle occludes them. Of an obstacle
that is its face, not its inside.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap.nav2_encoding import decode_costs
from seg_perception.errors import ConfigError
from seg_perception.evaluation.costmap.paths import (
    F64,
    RobotFootprint,
    cell_at,
    clear_footprint,
    inflate,
    navfn_weights,
    shortest_path,
)
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.risk.cost_matrix import LETHAL_COST
from seg_perception.utils.ratio import ratio

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FACE = 1.5  # cells behind the first obstacle cell that still count as the obstacle's face
_COLLISION_WEIGHT = 5000.0  # of a cell in which the robot collides: that of 100 free cells
_FREE_WEIGHT = 50.0


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The true costs on the cells of the costmap that is evaluated.

    Attributes:
        costs: float32 [rows, cols], nav2 units; lethal from 254 on.
        known: bool [rows, cols], where ground truth exists.
        obstacle: bool [rows, cols], cells that occlude the ground behind them.
        in_image: bool [rows, cols], cells with an obstacle of which some part is in the image; None if unknown. An
            obstacle cell of which no part is in the image is not evaluated.
    """

    costs: NDArray[np.float32]
    known: Bools
    obstacle: Bools
    in_image: Bools | None = None


@dataclass(frozen=True)
class CostmapEvaluationConfig:
    """How costmaps are evaluated.

    Attributes:
        bands: upper ends of the range bands, m from the camera's nadir point, ascending; the first begins at 0.
        tolerance: distance up to which a lethal cell matches a truly lethal one, m.

    Raises:
        ConfigError: the bands do not ascend from above 0, or the tolerance is negative.
    """

    bands: tuple[float, ...] = (4.0, 8.0, 10.0)
    tolerance: float = 0.2

    def __post_init__(self) -> None:
        """Check bands and tolerance."""
        edges = (0.0, *self.bands)
        if not all(near < far < np.inf for near, far in pairwise(edges)) or len(edges) == 1:
            raise ConfigError(f"range bands end at {self.bands} m; give rising numbers above 0.")
        if not 0.0 <= self.tolerance < np.inf:
            raise ConfigError(f"the tolerance is {self.tolerance} m; give 0 or more.")


@dataclass(frozen=True, eq=False)
class CellCounts:
    """Cell counts per range band, [B] each. Counts of several costmaps can be added.

    Attributes:
        visible: visible cells with ground truth.
        unknown: visible cells that are unknown in the costmap.
        out_of_image: truly lethal cells that nothing occludes, but of which no part is in the image.
        lethal: visible cells that are truly lethal.
        exact: truly lethal cells that are lethal in the costmap.
        recalled: truly lethal cells with a lethal cell of the costmap within the tolerance.
        false_free: truly lethal cells that are drivable in the costmap, without a lethal cell within the tolerance.
        predicted: lethal cells of the costmap in the field of view, visible or occluded.
        confirmed: predicted cells with a truly lethal cell within the tolerance.
        cost_error: sum of |predicted cost - true cost| over visible known cells, both at most 254.
    """

    visible: I64
    unknown: I64
    out_of_image: I64
    lethal: I64
    exact: I64
    recalled: I64
    false_free: I64
    predicted: I64
    confirmed: I64
    cost_error: F64

    @classmethod
    def none(cls, bands: int) -> CellCounts:
        """Counts of 0."""
        nothing: list[Any] = [np.zeros(bands, np.int64) for _ in fields(cls)[:-1]]
        return cls(*nothing, *[np.zeros(bands)])

    def __add__(self, other: CellCounts) -> CellCounts:
        return CellCounts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def total(self) -> CellCounts:
        """All bands as one."""
        return CellCounts(*(getattr(self, each.name).sum(keepdims=True) for each in fields(self)))

    def shares(self) -> dict[str, F64]:
        """Rates per band [B]; NaN where the denominator is 0.

        `lethal_recall` (within the tolerance), `lethal_exact` (the same cell) and `false_free` are shares of the truly
        lethal cells that are evaluated, `out_of_image` is the share of truly lethal cells that are not. Further
        `lethal_precision` (of predicted lethal cells), `unknown` (of visible cells) and the mean `cost_error` (nav2
        units, of known visible cells).
        """
        return {
            "lethal_exact": ratio(self.exact, self.lethal),
            "out_of_image": ratio(self.out_of_image, self.out_of_image + self.lethal),
            "lethal_recall": ratio(self.recalled, self.lethal),
            "false_free": ratio(self.false_free, self.lethal),
            "lethal_precision": ratio(self.confirmed, self.predicted),
            "unknown": ratio(self.unknown, self.visible),
            "cost_error": ratio(self.cost_error, self.visible - self.unknown),
        }


def count_cells(
    costmap: NDArray[np.int8],
    bounds: GridBounds,
    ground_truth: GroundTruth,
    camera_xy: tuple[float, float],
    view: Bools,
    config: CostmapEvaluationConfig,
) -> CellCounts:
    """Compare a costmap with the ground truth.

    Args:
        costmap: int8 [rows, cols], nav_msgs/OccupancyGrid values.
        bounds: of its cells in odom.
        ground_truth: on the same cells.
        camera_xy: x, y of the camera's nadir point in odom, m.
        view: bool [rows, cols], the cells in the camera's field of view, occluded ones too.
        config: bands and tolerance.
    """
    costs, known = decode_costs(costmap)
    predicted_lethal = known & (costs >= LETHAL_COST)
    true_lethal = ground_truth.known & (ground_truth.costs >= LETHAL_COST)
    tolerance = config.tolerance / bounds.resolution + 1e-6
    near_predicted = distance_to_cells(predicted_lethal) <= tolerance
    near_true = distance_to_cells(true_lethal) <= tolerance
    distance = _distance(bounds, camera_xy)
    visible = (
        view
        & ground_truth.known
        & visible_cells(ground_truth.obstacle, bounds, camera_xy, distance <= config.bands[-1])
    )
    out_of_image = (
        np.zeros_like(visible) if ground_truth.in_image is None else visible & true_lethal & ~ground_truth.in_image
    )
    visible &= ~out_of_image
    lethal, predicted = visible & true_lethal, predicted_lethal & view & ground_truth.known
    error = np.abs(np.minimum(costs, LETHAL_COST) - np.minimum(ground_truth.costs, LETHAL_COST))
    band = np.searchsorted(config.bands, distance)

    def count(chosen: Bools) -> I64:
        return np.bincount(band[chosen], minlength=len(config.bands) + 1)[: len(config.bands)].astype(np.int64)

    compared = visible & known
    summed = np.bincount(band[compared], error[compared], minlength=len(config.bands) + 1)[: len(config.bands)]
    return CellCounts(
        visible=count(visible),
        unknown=count(visible & ~known),
        out_of_image=count(out_of_image),
        lethal=count(lethal),
        exact=count(lethal & predicted_lethal),
        recalled=count(lethal & near_predicted),
        false_free=count(lethal & known & ~near_predicted),
        predicted=count(predicted),
        confirmed=count(predicted & near_true),
        cost_error=summed.astype(np.float64),
    )


def visible_cells(obstacle: Bools, bounds: GridBounds, camera_xy: tuple[float, float], wanted: Bools) -> Bools:
    """Cells that a straight line from the camera reaches before an obstacle, and the obstacle's face.

    Args:
        obstacle: bool [rows, cols], cells that occlude what is behind them. Their height does not count, although a
            camera looks over low obstacles.
        bounds: of the cells.
        camera_xy: x, y in odom, m; may lie outside of the bounds.
        wanted: bool [rows, cols], the cells to test; all others are returned as false.
    """
    visible = np.zeros(obstacle.shape, np.bool_)
    row, col = np.nonzero(wanted)
    if not row.size:
        return visible
    at = np.array([(camera_xy[1] - bounds.origin[1]), (camera_xy[0] - bounds.origin[0])]) / bounds.resolution - 0.5
    towards = np.stack([row, col], axis=1) - at
    length = np.maximum(np.hypot(towards[:, 0], towards[:, 1]), 1e-9)
    occluded = np.zeros(row.size, np.bool_)
    for reach in np.arange(0.5, float(length.max()), 0.5):
        here = np.flatnonzero(reach < length - _FACE)
        step = np.rint(at + towards[here] * (reach / length[here])[:, np.newaxis]).astype(np.intp)
        inside = np.all((step >= 0) & (step < obstacle.shape), axis=1)
        occluded[here[inside]] |= obstacle[step[inside, 0], step[inside, 1]]
    visible[row[~occluded], col[~occluded]] = True
    return visible


def regret(
    costmap: NDArray[np.int8],
    bounds: GridBounds,
    ground_truth: GroundTruth,
    start: tuple[float, float],
    goal: tuple[float, float],
    footprint: RobotFootprint,
) -> float | None:
    """True cost of the path planned on the costmap, minus that of the path planned on the ground truth.

    Both paths are weighted on the ground truth by NavFn's weights. A metre in collision costs as much as 100 m of free
    ground, so every path has a finite cost and none is cheaper than the optimum.

    Args:
        costmap: int8 [rows, cols], nav_msgs/OccupancyGrid values.
        bounds: of its cells in odom.
        ground_truth: on the same cells.
        start: x, y in odom, m.
        goal: x, y in odom, m.
        footprint: of the robot.

    Returns:
        At least 0, in metres of free ground; None if no path is found on the costmap.
    """
    begin, end = (cell_at(xy, bounds.origin, bounds.resolution) for xy in (start, goal))
    costs, known = decode_costs(costmap)
    cleared = clear_footprint(costs, begin, bounds.resolution, footprint.radius)
    planned = shortest_path(navfn_weights(inflate(cleared, known, bounds.resolution, footprint)), begin, end)
    if planned is None:
        return None
    true = navfn_weights(inflate(ground_truth.costs, ground_truth.known, bounds.resolution, footprint))
    true[true < 0] = _COLLISION_WEIGHT
    best = shortest_path(true, begin, end)
    assert best is not None  # no cell of the weighted ground truth is forbidden
    # Sums of the same weights in another order may differ in their last digits.
    return max(planned.weight(true) - best.weight(true), 0.0) * bounds.resolution / _FREE_WEIGHT


def distance_to_cells(cells: Bools) -> NDArray[np.float32]:
    """Distance of each cell to the nearest true cell of a mask, in cells, [rows, cols]; infinite if there is none."""
    if not cells.any():
        return np.full(cells.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform((~cells).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def _distance(bounds: GridBounds, camera_xy: tuple[float, float]) -> F64:
    distance: F64 = np.linalg.norm(bounds.centres() - camera_xy, axis=-1)
    return distance
