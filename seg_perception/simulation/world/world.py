"""The simulated world and its exact ground truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seg_perception.simulation.conditions import Conditions
from seg_perception.simulation.labels import Label
from seg_perception.simulation.world.scene import Scene, concatenate_scenes, pack_solids
from seg_perception.simulation.world.solids import Solid
from seg_perception.simulation.world.street import ZONE_LABEL, Street, Zone

CLEARANCE = 2.2  # m; what begins higher is no obstacle for a robot on the ground

# Where several objects overlap a cell, the first of these is its class.
_PRECEDENCE = (
    Label.PEDESTRIAN,
    Label.BICYCLIST,
    Label.CAR,
    Label.POLE,
    Label.SIGN_SYMBOL,
    Label.TREE,
    Label.FENCE,
    Label.BUILDING,
)


class GridShape(Protocol):
    """A grid of square cells in odom; row = y index, column = x index, cell (0, 0) at the origin."""

    @property
    def origin(self) -> tuple[float, float]:
        """x, y of the corner with least x and y, m."""

    @property
    def resolution(self) -> float:
        """Side of a cell, m."""

    @property
    def rows(self) -> int:
        """Number of cells along y."""

    @property
    def cols(self) -> int:
        """Number of cells along x."""


@dataclass(frozen=True)
class World:
    """A street, the objects on it, and the light.

    Attributes:
        street: the ground.
        solids: all objects, in odom.
        conditions: light, weather, camera imperfections.
    """

    street: Street
    solids: tuple[Solid, ...] = ()
    conditions: Conditions = field(default_factory=Conditions)

    @cached_property
    def scene(self) -> Scene:
        """The solids as arrays."""
        return pack_solids(self.solids)

    def with_solids(self, extra: Iterable[Solid]) -> World:
        """The same world with further solids (the actors of a drive)."""
        moving = tuple(extra)
        world = replace(self, solids=(*self.solids, *moving))
        # Packing is slow, so the static solids are packed once per drive.
        world.__dict__["scene"] = concatenate_scenes(self.scene, pack_solids(moving))
        return world

    def true_classes(
        self, origin_xy: tuple[float, float], resolution: float, rows: int, cols: int, clearance: float = CLEARANCE
    ) -> NDArray[np.uint8]:
        """The class of the object on each cell of a grid in odom, or else of its ground.

        A cell belongs to an object when the object's footprint overlaps its area at all (touching does not
        count). Objects that begin above the clearance are no obstacles. Otherwise its class is that of the ground
        at its centre. Footprints of boxes are exact; see `Solid.outline` for curved ones.

        Args:
            origin_xy: corner of cell (0, 0) with least x and y, m.
            resolution: side of a cell, m.
            rows: number of cells along y.
            cols: number of cells along x.
            clearance: height of the robot, m.

        Returns:
            uint8 [rows, cols], class index.
        """
        x = origin_xy[0] + (np.arange(cols) + 0.5) * resolution
        y = origin_xy[1] + (np.arange(rows) + 0.5) * resolution
        centres_x, centres_y = np.meshgrid(x, y)
        s, d = self.street.to_street(centres_x, centres_y)
        labels = np.array([ZONE_LABEL[Zone(zone)] for zone in sorted(ZONE_LABEL)], np.uint8)
        classes: NDArray[np.uint8] = labels[self.street.zones(s, d)]
        obstacles = [solid for solid in self.solids if solid.corners()[:, 2].min() < clearance]
        obstacles.sort(key=lambda solid: _PRECEDENCE.index(solid.label), reverse=True)
        for solid in obstacles:
            _mark(classes, solid, x, y, 0.5 * resolution)
        return classes


def _mark(
    classes: NDArray[np.uint8], solid: Solid, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]], half: float
) -> None:
    """Write a solid's class to every cell that its footprint overlaps: separating axes of two convex polygons."""
    polygon = solid.outline()
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    slack = 1e-9
    columns = np.flatnonzero((x + half > low[0] + slack) & (x - half < high[0] - slack))
    rows = np.flatnonzero((y + half > low[1] + slack) & (y - half < high[1] - slack))
    if not columns.size or not rows.size:
        return
    edges = np.roll(polygon, -1, axis=0) - polygon
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
    offsets = np.einsum("ei,ei->e", normals, polygon)
    reach = np.abs(normals).sum(axis=1) * half
    cells = np.stack(np.meshgrid(x[columns], y[rows]), axis=-1)
    overlaps = np.all(cells @ normals.T - reach < offsets - slack, axis=-1)
    classes[np.ix_(rows, columns)] = np.where(overlaps, np.uint8(solid.label), classes[np.ix_(rows, columns)])


def true_costmap(world: World, grid: GridShape, traverse: NDArray[np.float32]) -> NDArray[np.float32]:
    """The true cost of driving over each cell.

    Args:
        world: the world.
        grid: where the cells lie.
        traverse: float32 [K], cost of driving over each class, in the order of `labels.CLASS_NAMES`.

    Returns:
        float32 [rows, cols], in the units of `traverse`.
    """
    classes = world.true_classes(grid.origin, grid.resolution, grid.rows, grid.cols)
    costs: NDArray[np.float32] = np.asarray(traverse, np.float32)[classes]
    return costs
