"""One closed-loop drive: image, map, plan, drive over known ground until the next image.

The planner may lead through the unknown, as config/nav2_costmap.yaml has it; the robot stops before it gets there. So
what it hits was mapped as ground, and where the map has no path it waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seg_perception.closed_loop.course import LENGTH, Course
from seg_perception.closed_loop.mappers import IMAGE_PERIOD_S, Mapper, PlannerMap
from seg_perception.closed_loop.path_follower import SPEED, Pose, follow_path
from seg_perception.evaluation.costmap.paths import (
    RobotFootprint,
    cell_at,
    clear_footprint,
    inflate,
    navfn_weights,
    shortest_path,
)
from seg_perception.geometry.transforms import Transform
from seg_perception.simulation.labels import CLASS_NAMES
from seg_perception.simulation.sensors.degradation import measured_from_actual

RADIUS = 0.45  # m, of the robot
FOOTPRINT = RobotFootprint(radius=RADIUS + 0.05)  # with a margin for steering errors

_PATIENCE = 4  # images in a row without a path, after which a drive ends
_LONGEST = 2.5  # times the number of images that the straight path takes
_START_STRIP = (3.5, 0.6)  # m ahead and to both sides: below the field of view at the start, and known to be free
_GOAL_DISTANCE = 0.7  # m; a robot so near has arrived
_GOAL_TOLERANCE = 5.0  # cells; NavFn's default of 0.5 m

End = Literal["goal", "collision", "stuck", "late"]


@dataclass
class DriveRecord:
    """How a drive went.

    Attributes:
        end: "goal"; "collision"; "stuck", after four images in a row without a path; "late".
        hit: name of the class of the object that was hit.
        ground: metres driven on each class of ground, by its name.
        waits: images after which the robot did not move.
        image_count: all images.
    """

    end: End = "late"
    hit: str | None = None
    ground: dict[str, float] = field(default_factory=dict)
    waits: int = 0
    image_count: int = 0


def drive(course: Course, mapper: Mapper) -> DriveRecord:
    """Drive a course to its end; the same arguments give the same record."""
    record = DriveRecord()
    x, y, _ = course.start.translation.tolist()
    pose: Pose = (x, y, course.start.rpy()[2])
    patience = _PATIENCE
    for number in range(round(_LONGEST * LENGTH / SPEED / IMAGE_PERIOD_S)):
        before = pose
        pose = _drive_to_next_image(course, mapper.update(number, _transform(pose)), pose, record)
        record.image_count = number + 1
        if record.end != "late":
            return record
        waited = pose == before
        record.waits += waited
        patience = patience - 1 if waited else _PATIENCE
        if patience == 0:
            record.end = "stuck"
            return record
    return record


def _drive_to_next_image(course: Course, planner_map: PlannerMap, pose: Pose, record: DriveRecord) -> Pose:
    """Drive as far as the map and the time to the next image allow, and add what happens to the record."""
    path = plan_path(_with_free_start_strip(planner_map, course.start), course.goal)
    if len(path) < 2:
        return pose
    actual_from_measured = measured_from_actual(planner_map.measured_pose, _transform(pose)).inverse()
    goal = actual_from_measured.apply(np.array([*course.goal, 0.0]))
    actual_path = actual_from_measured.apply(np.insert(path, 2, 0.0, axis=1))[:, :2]
    for moved in follow_path(pose, actual_path, IMAGE_PERIOD_S):
        ground = CLASS_NAMES[course.ground_label(*moved[:2])]
        record.ground[ground] = record.ground.get(ground, 0.0) + math.dist(pose[:2], moved[:2])
        pose = moved
        hit = course.collision(*pose[:2], RADIUS)
        if hit is not None:
            record.end, record.hit = "collision", CLASS_NAMES[hit]
            return pose
        if math.dist(goal[:2], pose[:2]) < _GOAL_DISTANCE:
            record.end = "goal"
            return pose
    return pose


def _transform(pose: Pose) -> Transform:
    return Transform.from_xyz_rpy(pose[0], pose[1], 0.0, 0.0, 0.0, pose[2])


def plan_path(planner_map: PlannerMap, goal: tuple[float, float]) -> NDArray[np.float64]:
    """The least-cost path from the robot to the goal, up to the first unknown cell.

    Args:
        planner_map: costs and the robot's pose.
        goal: x, y in the robot's odom, m.

    Returns:
        float64 [n, 2], x, y in the robot's odom, m; fewer than two points where it cannot move.
    """
    bounds = planner_map.bounds
    x, y, _ = planner_map.measured_pose.translation.tolist()
    start, end = (cell_at(xy, bounds.origin, bounds.resolution) for xy in ((x, y), goal))
    costs = clear_footprint(planner_map.costs, start, bounds.resolution, FOOTPRINT.radius)
    weights = navfn_weights(inflate(costs, planner_map.known, bounds.resolution, FOOTPRINT))
    path = shortest_path(weights, start, end, _GOAL_TOLERANCE)
    if path is None:
        return np.zeros((0, 2))
    unknown = np.flatnonzero(~planner_map.known[path.cells[1:, 0], path.cells[1:, 1]])
    cells = path.cells if not unknown.size else path.cells[: 1 + unknown[0]]
    return np.asarray((cells[:, ::-1] + 0.5) * bounds.resolution + bounds.origin, np.float64)


def _with_free_start_strip(planner_map: PlannerMap, start: Transform) -> PlannerMap:
    """The map in which the unknown cells of the strip ahead of the start are free."""
    at = start.inverse().apply(np.insert(planner_map.bounds.centres(), 2, 0.0, axis=-1))
    ahead, aside = at[..., 0], at[..., 1]
    strip = (ahead > -1.0) & (ahead < _START_STRIP[0]) & (np.abs(aside) < _START_STRIP[1]) & ~planner_map.known
    costs: NDArray[np.float32] = np.where(strip, np.float32(0), planner_map.costs)
    return replace(planner_map, costs=costs, known=planner_map.known | strip)
