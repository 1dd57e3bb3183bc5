"""Judges of a costmap: what it missed, invented and did not know, and what its best way truly costs.

Cells that a camera cannot see are no fault of a costmap's. So a true cell is judged where the camera looks at it and
nothing that stands hides it: on an obstacle, its face and not its inside.
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
from seg_perception.evaluation.costmap.paths import F64, Body, best_way, cell_at, clear_footprint, inflate, way_weights
from seg_perception.geometry.grid_bounds import Raster
from seg_perception.risk.cost_matrix import LETHAL_COST
from seg_perception.utils.ratio import ratio

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FACE = 1.5  # cells behind the first standing one that still count as its face
_COLLISION_WEIGHT = 5000.0  # of a cell's way on which the robot truly touches something: that of 100 free cells
_FREE_WEIGHT = 50.0


@dataclass(frozen=True, eq=False)
class Truth:
    """What is really there, on the cells of the costmap that is judged.

    Attributes:
        costs: float32 [rows, cols], nav2 units; lethal from 254 on.
        known: bool [rows, cols], where the truth is known.
        stands: bool [rows, cols], what hides the ground behind it.
        shown: bool [rows, cols], where something that stands is in the image; None where nobody knows. What only
            reaches into a cell above or beside the image is not judged there.
    """

    costs: NDArray[np.float32]
    known: Bools
    stands: Bools
    shown: Bools | None = None


@dataclass(frozen=True)
class Rules:
    """How costmaps are judged.

    Attributes:
        bands: upper ends of the range bands, m from the camera's foot point, ascending; the first begins at 0.
        tolerance: how far a lethal cell may lie from a true one and still be that one, m.

    Raises:
        ConfigError: the bands do not ascend from above 0, or the tolerance is negative.
    """

    bands: tuple[float, ...] = (4.0, 8.0, 10.0)
    tolerance: float = 0.2

    def __post_init__(self) -> None:
        """Refuse bands that are none."""
        edges = (0.0, *self.bands)
        if not all(near < far < np.inf for near, far in pairwise(edges)) or len(edges) == 1:
            raise ConfigError(f"range bands end at {self.bands} m; give rising numbers above 0.")
        if not 0.0 <= self.tolerance < np.inf:
            raise ConfigError(f"the tolerance is {self.tolerance} m; give 0 or more.")


@dataclass(frozen=True, eq=False)
class CellCounts:
    """Cells counted by range band, [B] each; sums of costmaps add up.

    Attributes:
        seen: true cells in sight.
        unknown: of these, unknown on the costmap.
        outside: truly lethal cells that would be in sight, with nothing of them in the image.
        lethal: of those in sight, truly lethal.
        exact: of these, lethal on our map in the very cell.
        recalled: of the truly lethal, with a lethal cell of ours within the tolerance.
        false_free: of the truly lethal, known to us as drivable with no lethal cell of ours within the tolerance.
        claimed: our lethal cells in view, in sight or hidden.
        confirmed: of these, with a truly lethal cell within the tolerance.
        cost_error: sum of |our cost - true cost| over cells in sight that we know, both at most 254.
    """

    seen: I64
    unknown: I64
    outside: I64
    lethal: I64
    exact: I64
    recalled: I64
    false_free: I64
    claimed: I64
    confirmed: I64
    cost_error: F64

    @classmethod
    def none(cls, bands: int) -> CellCounts:
        """Nothing counted yet."""
        nothing: list[Any] = [np.zeros(bands, np.int64) for _ in fields(cls)[:-1]]
        return cls(*nothing, *[np.zeros(bands)])

    def __add__(self, other: CellCounts) -> CellCounts:
        return CellCounts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def total(self) -> CellCounts:
        """All bands as one."""
        return CellCounts(*(getattr(self, each.name).sum(keepdims=True) for each in fields(self)))

    def shares(self) -> dict[str, F64]:
        """Figures by band [B]; NaN where there is nothing to count.

        Lethal recall within the tolerance and in the very cell, false-free rate (all of the truly lethal cells that
        are judged), the share of truly lethal cells that are not, as nothing of them is in the image, lethal precision
        (of our lethal cells), unknown share (of cells in sight) and mean cost error (nav2 units, of known ones).
        """
        return {
            "lethal_exact": ratio(self.exact, self.lethal),
            "out_of_image": ratio(self.outside, self.outside + self.lethal),
            "lethal_recall": ratio(self.recalled, self.lethal),
            "false_free": ratio(self.false_free, self.lethal),
            "lethal_precision": ratio(self.confirmed, self.claimed),
            "unknown": ratio(self.unknown, self.seen),
            "cost_error": ratio(self.cost_error, self.seen - self.unknown),
        }


def judge_costmap(
    costmap: NDArray[np.int8], raster: Raster, truth: Truth, eye: tuple[float, float], view: Bools, rules: Rules
) -> CellCounts:
    """Compare a costmap with the truth.

    Args:
        costmap: int8 [rows, cols], nav_msgs/OccupancyGrid values.
        raster: where it lies.
        truth: on the same cells.
        eye: x, y of the camera's foot point in odom, m.
        view: bool [rows, cols], the cells that the camera looks at, hidden ones too.
        rules: bands and tolerance.
    """
    costs, known = decode_costs(costmap)
    ours = known & (costs >= LETHAL_COST)
    theirs = truth.known & (truth.costs >= LETHAL_COST)
    cells = rules.tolerance / raster.resolution + 1e-6
    near_ours, near_theirs = away_from(ours) <= cells, away_from(theirs) <= cells
    distance = _distance(raster, eye)
    seen = view & truth.known & in_sight(truth.stands, raster, eye, distance <= rules.bands[-1])
    outside = np.zeros_like(seen) if truth.shown is None else seen & theirs & ~truth.shown
    seen &= ~outside
    lethal, claimed = seen & theirs, ours & view & truth.known
    error = np.abs(np.minimum(costs, LETHAL_COST) - np.minimum(truth.costs, LETHAL_COST))
    band = np.searchsorted(rules.bands, distance)

    def count(chosen: Bools) -> I64:
        return np.bincount(band[chosen], minlength=len(rules.bands) + 1)[: len(rules.bands)].astype(np.int64)

    compared = seen & known
    summed = np.bincount(band[compared], error[compared], minlength=len(rules.bands) + 1)[: len(rules.bands)]
    return CellCounts(
        seen=count(seen),
        unknown=count(seen & ~known),
        outside=count(outside),
        lethal=count(lethal),
        exact=count(lethal & ours),
        recalled=count(lethal & near_ours),
        false_free=count(lethal & known & ~near_ours),
        claimed=count(claimed),
        confirmed=count(claimed & near_theirs),
        cost_error=summed.astype(np.float64),
    )


def in_sight(stands: Bools, raster: Raster, eye: tuple[float, float], wanted: Bools) -> Bools:
    """Cells that a straight line from the eye reaches before anything that stands, or just behind its face.

    Args:
        stands: bool [rows, cols], what hides the ground behind it, however low: over a low thing more may be seen.
        raster: where the cells lie.
        eye: x, y in odom, m; may lie outside of the raster.
        wanted: bool [rows, cols], the cells to ask for; all others are given as out of sight.
    """
    seen = np.zeros(stands.shape, np.bool_)
    row, col = np.nonzero(wanted)
    if not row.size:
        return seen
    at = np.array([(eye[1] - raster.origin[1]), (eye[0] - raster.origin[0])]) / raster.resolution - 0.5
    towards = np.stack([row, col], axis=1) - at
    length = np.maximum(np.hypot(towards[:, 0], towards[:, 1]), 1e-9)
    hidden = np.zeros(row.size, np.bool_)
    for reach in np.arange(0.5, float(length.max()), 0.5):
        here = np.flatnonzero(reach < length - _FACE)
        step = np.rint(at + towards[here] * (reach / length[here])[:, np.newaxis]).astype(np.intp)
        inside = np.all((step >= 0) & (step < stands.shape), axis=1)
        hidden[here[inside]] |= stands[step[inside, 0], step[inside, 1]]
    seen[row[~hidden], col[~hidden]] = True
    return seen


def regret(
    costmap: NDArray[np.int8],
    raster: Raster,
    truth: Truth,
    start: tuple[float, float],
    goal: tuple[float, float],
    body: Body,
) -> float | None:
    """What the best way on a costmap truly costs more than the truly best one.

    Both are priced on the true map by NavFn's weights; where the robot would touch something, a metre costs as much as
    100 m of free ground, so that every way has a price and none is better than the best.

    Args:
        costmap: int8 [rows, cols], nav_msgs/OccupancyGrid values.
        raster: where it lies.
        truth: on the same cells.
        start: x, y in odom, m.
        goal: x, y in odom, m.
        body: the robot.

    Returns:
        At least 0, in metres of free ground; None where the costmap shows no way.
    """
    begin, end = (cell_at(xy, raster.origin, raster.resolution) for xy in (start, goal))
    costs, known = decode_costs(costmap)
    cleared = clear_footprint(costs, begin, raster.resolution, body.radius)
    ours = best_way(way_weights(inflate(cleared, known, raster.resolution, body)), begin, end)
    if ours is None:
        return None
    true = way_weights(inflate(truth.costs, truth.known, raster.resolution, body))
    true[true < 0] = _COLLISION_WEIGHT
    best = best_way(true, begin, end)
    assert best is not None  # no cell of the priced map is forbidden
    # Sums of the same weights in another order may differ in their last digits.
    return max(ours.weight(true) - best.weight(true), 0.0) * raster.resolution / _FREE_WEIGHT


def away_from(cells: Bools) -> NDArray[np.float32]:
    """Distance of each cell to the nearest chosen one, in cells, [rows, cols]; infinite where none is chosen."""
    if not cells.any():
        return np.full(cells.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform((~cells).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def _distance(raster: Raster, eye: tuple[float, float]) -> F64:
    distance: F64 = np.linalg.norm(raster.centres() - eye, axis=-1)
    return distance
