"""Courses: a street with obstacles through which a path exists."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.evaluation.costmap.paths import RobotFootprint, cell_at, inflate, navfn_weights, shortest_path
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.transforms import Transform
from seg_perception.simulation.labels import Label
from seg_perception.simulation.sensors.degradation import SensorDegradation
from seg_perception.simulation.world import furniture
from seg_perception.simulation.world.people import person
from seg_perception.simulation.world.solids import Solid, placed
from seg_perception.simulation.world.street import ZONE_LABEL, Street, Zone
from seg_perception.simulation.world.town import build_world, random_street
from seg_perception.simulation.world.vehicles import parked_bicycle, vehicle
from seg_perception.simulation.world.world import CLEARANCE, World, true_costmap

LENGTH = 18.0  # m from start to goal
_FIRST, _LAST = 5.0, 2.0  # m: before the first obstacle, and from the last one to the goal
_SPACING = 2.2  # m along the street between two obstacles
_SECOND = 0.7  # share of obstacles with a second one across the road
_TRIES = 50

_OBSTACLES: tuple[tuple[float, Callable[[np.random.Generator], tuple[Solid, ...]]], ...] = (
    (0.34, person),
    (0.18, furniture.bollard),
    (0.14, furniture.traffic_sign),
    (0.12, vehicle),
    (0.12, parked_bicycle),
    (0.10, furniture.street_lamp),
)


@dataclass(frozen=True)
class Course:
    """A street with obstacles, a start and a goal.

    Attributes:
        world: static.
        start: pose of the robot in odom, on the road, heading along the street.
        goal: x, y in odom, m, on the same lane `LENGTH` further on.
    """

    world: World
    start: Transform
    goal: tuple[float, float]

    @cached_property
    def bounds(self) -> GridBounds:
        """Cells of 0.1 m around the course, for planning on the true costmap."""
        return bounds_around(self.start, self.goal)

    @cached_property
    def obstacle_outlines(self) -> tuple[tuple[NDArray[np.float32], Label], ...]:
        """Footprints of the obstacles: polygons float32 [n, 1, 2] (m), and their classes."""
        low = [solid for solid in self.world.solids if solid.corners()[:, 2].min() < CLEARANCE]
        near = [solid for solid in low if abs(solid.centre[0] - 0.5 * LENGTH) < LENGTH + max(solid.half)]
        return tuple((solid.outline().astype(np.float32)[:, None], solid.label) for solid in near)

    def collision(self, x: float, y: float, radius: float) -> Label | None:
        """The class of an obstacle that a round robot at x, y (m) touches, exactly; None without one."""
        for polygon, label in self.obstacle_outlines:
            if cv2.pointPolygonTest(polygon, (x, y), True) > -radius:
                return label
        return None

    def ground_label(self, x: float, y: float) -> Label:
        """The class of the ground at x, y (m)."""
        street = self.world.street
        zone = street.zones(*street.to_street(np.array([x]), np.array([y])))[0]
        return ZONE_LABEL[Zone(int(zone))]


def bounds_around(start: Transform, goal: tuple[float, float], resolution: float = 0.1) -> GridBounds:
    """Cells from 3 m behind the start to 3 m behind the goal, and 7 m to both sides."""
    xy = np.array([start.translation[:2], goal])
    margin = np.array([3.0, 7.0])
    first = np.floor((xy.min(axis=0) - margin) / resolution).astype(int)
    last = np.ceil((xy.max(axis=0) + margin) / resolution).astype(int)
    cols, rows = (last - first).tolist()
    return GridBounds(int(first[1]), int(first[0]), rows, cols, resolution)


def generate_course(
    seed: int, degradation: SensorDegradation, footprint: RobotFootprint, traverse: NDArray[np.float32]
) -> Course:
    """Draw a course on which a planner with the true costmap finds a path.

    Args:
        seed: of everything; degradations of the image change nothing else.
        degradation: gives light and weather.
        footprint: the robot.
        traverse: float32 [K], cost of each class, nav2 units.
    """
    rng = np.random.default_rng([seed, 4])
    while True:
        town = float(rng.uniform(0.2, 1.0))
        street = random_street(rng, town)
        lane = 0.5 * street.left.road
        background = build_world(rng, street, town, ((lane - 0.7, lane + 0.7),))
        world = replace(
            background, solids=_without_small_solids(background.solids), conditions=degradation.weather(seed)
        )
        x, y, heading = street.pose(0.0, lane)
        start = Transform.from_xyz_rpy(x, y, 0.0, 0.0, 0.0, heading)
        goal = street.pose(LENGTH, lane)[:2]
        for _ in range(_TRIES):
            obstacles = _obstacles(rng, street, lane)
            course = Course(replace(world, solids=(*world.solids, *obstacles)), start, goal)
            if _is_solvable(course, footprint, traverse):
                return course


def _obstacles(rng: np.random.Generator, street: Street, lane: float) -> list[Solid]:
    """Obstacles near the center of the lane, mostly with a second one somewhere across the road."""
    shares = np.array([share for share, _ in _OBSTACLES])
    solids: list[Solid] = []
    s = _FIRST + float(rng.uniform(0.0, 2.0))
    while s < LENGTH - _LAST:
        long = _SPACING
        across = [lane + float(rng.normal(0.0, 0.9))]
        if rng.random() < _SECOND:
            across.append(float(rng.uniform(-street.right.road, street.left.road)))
        for d in across:
            _, make = _OBSTACLES[int(rng.choice(len(_OBSTACLES), p=shares / shares.sum()))]
            x, y, heading = street.pose(s, d)
            obstacle = placed(make(rng), x, y, heading + float(rng.uniform(-math.pi, math.pi)))
            solids.extend(obstacle)
            long = max(long, float(np.ptp(np.concatenate([part.corners()[:, 0] for part in obstacle]))))
        s += long + float(rng.exponential(1.0))
    return solids


def _is_solvable(course: Course, footprint: RobotFootprint, traverse: NDArray[np.float32]) -> bool:
    grid = course.bounds
    costs = true_costmap(course.world, grid, traverse)
    weights = navfn_weights(inflate(costs, np.ones(costs.shape, bool), grid.resolution, footprint))
    x, y, _ = course.start.translation.tolist()
    start, goal = (cell_at(xy, grid.origin, grid.resolution) for xy in ((x, y), course.goal))
    return weights[start] > 0 and shortest_path(weights, start, goal) is not None


def _without_small_solids(solids: tuple[Solid, ...]) -> tuple[Solid, ...]:
    """Leave out solids of less than about two pixels from anywhere on the course: they only cost rendering time."""
    kept = []
    for solid in solids:
        away = math.hypot(max(solid.centre[0] - LENGTH, 0.0, -solid.centre[0]), solid.centre[1])
        if solid.centre[0] > -30.0 and max(solid.half) > 0.0025 * away:
            kept.append(solid)
    return tuple(kept)
