"""One drive: look, map, plan, move on over ground that was seen, and look again.

The planner may lead through the unknown, as config/nav2_costmap.yaml has it; the robot stops before it gets there. So
what it hits it has taken for ground, and what it does not dare makes it wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from seg_perception.closed_loop.course import LENGTH, Course
from seg_perception.closed_loop.path_follower import SPEED, Pose, follow
from seg_perception.closed_loop.variants import Variant
from seg_perception.costmap.nav2_encoding import decode_costs, encode_costs
from seg_perception.evaluation.costmap.paths import Body, best_way, cell_at, clear_footprint, inflate, way_weights
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import Raster
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.inference.engine import Engine
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.simulation.drive import START_NS
from seg_perception.simulation.labels import CLASS_NAMES
from seg_perception.simulation.rendering.render import RenderedView, Sight, look
from seg_perception.simulation.sensors.degradation import Fault, Odometry, told_from_true
from seg_perception.simulation.world.world import true_costmap

RADIUS = 0.45  # m, of the robot
BODY = Body(radius=RADIUS + 0.05)  # what the planner allows for: no robot steers exactly
SETTINGS = PipelineSettings(grid=GridSettings(width=44.0, height=16.0, half_life=10.0))
MOUNT = mount_to_base_from_optical(0.3, 0.0, 1.2, 0.0, 0.1, 0.0)

SECONDS = 1.25  # between two images
_PATIENCE = 4  # images in a row that lead nowhere, after which a drive is over
_LONGEST = 2.5  # times the images that the straight way takes
_START_STRIP = (3.5, 0.6)  # m ahead and to both sides: below the picture at the start, and known to be free
_ARRIVED = 0.7  # m from the goal
_GOAL_TOLERANCE = 5.0  # cells; NavFn's default of 0.5 m

Place = tuple[bytes, bytes]
End = Literal["goal", "collision", "stuck", "late"]


@dataclass(frozen=True, eq=False)
class Map:
    """What the planner gets.

    Attributes:
        costs: float32 [rows, cols], as nav2 reads them.
        known: bool [rows, cols].
        raster: where the cells lie in the robot's odom.
        told: the pose of the robot in its odom.
    """

    costs: NDArray[np.float32]
    known: NDArray[np.bool_]
    raster: Raster
    told: Transform


class Mapper(Protocol):
    """Whatever turns a look at the course into a map."""

    def look(self, number: int, true: Transform) -> Map:
        """The map after image `number` of the drive, taken from a true pose in the course's odom."""


class Photographer:
    """Takes pictures on a course, and remembers those that several drives take from the same place."""

    def __init__(self, course: Course, camera: Camera, fault: Fault, seed: int) -> None:
        """Get ready.

        Args:
            course: the world.
            camera: at `MOUNT`, as far as the robot knows.
            fault: what is wrong with light, lens and mount.
            seed: of dirt.
        """
        self.course, self.camera, self.fault = course, camera, fault
        self._seed = seed
        self._taken: dict[tuple[int, Place], RenderedView] = {}
        self._last: tuple[Place, Sight] | None = None  # for the next picture of a robot that waits

    def take(self, number: int, true: Transform) -> RenderedView:
        """Image `number` of a drive and its labels, from a true pose."""
        place = true.translation.tobytes(), true.rotation.tobytes()
        if (number, place) not in self._taken:
            if self._last is None or self._last[0] != place:
                self._last = place, look(self.course.world, self.camera, self.fault.seen_from(true, MOUNT))
            view = self._last[1].picture(number)
            self._taken[number, place] = replace(view, rgb=self.fault.spoil(view.rgb, self._seed))
        return self._taken[number, place]


@dataclass
class Record:
    """How a drive went.

    Attributes:
        end: "goal"; "collision"; "stuck", when four images in a row led nowhere; "late".
        hit: name of the class that was touched.
        ground: metres driven on each class of ground, by its name.
        waits: images after which it stood still.
        looks: all images.
    """

    end: End = "late"
    hit: str | None = None
    ground: dict[str, float] = field(default_factory=dict)
    waits: int = 0
    looks: int = 0


class CameraMapper:
    """The real thing: picture, network, grid, price."""

    def __init__(
        self,
        photographer: Photographer,
        variant: Variant,
        engine: Engine,
        matrix: CostMatrix,
        true_labels: bool = False,
    ) -> None:
        """Begin at the start of a course.

        Args:
            photographer: of the course.
            variant: how cells are priced.
            engine: opened for `SETTINGS`.
            matrix: costs for its classes.
            true_labels: show the engine, a `LabelEngine`, the true labels instead of pictures.
        """
        self._true_labels = true_labels
        self._photographer, self._variant, self._matrix = photographer, variant, matrix
        self._pipeline = Pipeline(variant.engine(engine), matrix, SETTINGS)
        self._odometry = Odometry(photographer.course.start, photographer.fault)

    def look(self, number: int, true: Transform) -> Map:
        """See `Mapper.look`."""
        view = self._photographer.take(number, true)
        image = np.repeat(view.labels[..., np.newaxis], 3, axis=-1) if self._true_labels else view.rgb
        told = self._odometry.tell(true)
        stamp = START_NS + round(number * SECONDS * 1e9)
        self._pipeline.process(Frame(stamp, image, "rgb", self._photographer.camera, told, MOUNT, "camera"))
        priced = self._variant.costs(self._pipeline.grid, self._matrix)
        costs, known = decode_costs(encode_costs(*priced))
        return Map(costs, known, self._pipeline.grid.raster, told)


class TruthMapper:
    """The map of one who knows everything: what is left is planning and steering."""

    def __init__(self, course: Course, matrix: CostMatrix) -> None:
        """Price what is really there."""
        self._raster = course.raster
        costs = true_costmap(course.world, self._raster, matrix.traverse)
        self._costs, self._known = decode_costs(encode_costs(costs, np.ones(costs.shape, bool)))

    def look(self, number: int, true: Transform) -> Map:
        """See `Mapper.look`."""
        return Map(self._costs, self._known, self._raster, true)


def drive(course: Course, mapper: Mapper) -> Record:
    """Drive a course to its end; the same arguments give the same record."""
    record = Record()
    x, y, _ = course.start.translation.tolist()
    pose: Pose = (x, y, course.start.rpy()[2])
    patience = _PATIENCE
    for number in range(round(_LONGEST * LENGTH / SPEED / SECONDS)):
        before = pose
        pose = _move_on(course, mapper.look(number, _at(pose)), pose, record)
        record.looks = number + 1
        if record.end != "late":
            return record
        stood = pose == before
        record.waits += stood
        patience = patience - 1 if stood else _PATIENCE
        if patience == 0:
            record.end = "stuck"
            return record
    return record


def _move_on(course: Course, seen: Map, pose: Pose, record: Record) -> Pose:
    """Drive as far as the map and the time to the next image allow, and write down what happens."""
    path = plan(_with_start(seen, course.start), course.goal)
    if len(path) < 2:
        return pose
    true_from_told = told_from_true(seen.told, _at(pose)).inverse()
    goal = true_from_told.apply(np.array([*course.goal, 0.0]))
    for moved in follow(pose, true_from_told.apply(np.insert(path, 2, 0.0, axis=1))[:, :2], SECONDS):
        ground = CLASS_NAMES[course.ground(*moved[:2])]
        record.ground[ground] = record.ground.get(ground, 0.0) + math.dist(pose[:2], moved[:2])
        pose = moved
        touched = course.hit(*pose[:2], RADIUS)
        if touched is not None:
            record.end, record.hit = "collision", CLASS_NAMES[touched]
            return pose
        if math.dist(goal[:2], pose[:2]) < _ARRIVED:
            record.end = "goal"
            return pose
    return pose


def _at(pose: Pose) -> Transform:
    return Transform.from_xyz_rpy(pose[0], pose[1], 0.0, 0.0, 0.0, pose[2])


def plan(seen: Map, goal: tuple[float, float]) -> NDArray[np.float64]:
    """The best path from the robot to the goal, up to the first unknown cell.

    Returns:
        float64 [n, 2], x, y in the robot's odom, m; fewer than two points where it cannot move.
    """
    raster = seen.raster
    x, y, _ = seen.told.translation.tolist()
    start, end = (cell_at(xy, raster.origin, raster.resolution) for xy in ((x, y), goal))
    costs = clear_footprint(seen.costs, start, raster.resolution, BODY.radius)
    weights = way_weights(inflate(costs, seen.known, raster.resolution, BODY))
    way = best_way(weights, start, end, _GOAL_TOLERANCE)
    if way is None:
        return np.zeros((0, 2))
    unseen = np.flatnonzero(~seen.known[way.cells[1:, 0], way.cells[1:, 1]])
    cells = way.cells if not unseen.size else way.cells[: 1 + unseen[0]]
    return np.asarray((cells[:, ::-1] + 0.5) * raster.resolution + raster.origin, np.float64)


def _with_start(seen: Map, start: Transform) -> Map:
    """The map with the strip before the start free, as far as nothing was seen there."""
    at = start.inverse().apply(np.insert(seen.raster.centres(), 2, 0.0, axis=-1))
    ahead, aside = at[..., 0], at[..., 1]
    strip = (ahead > -1.0) & (ahead < _START_STRIP[0]) & (np.abs(aside) < _START_STRIP[1]) & ~seen.known
    costs: NDArray[np.float32] = np.where(strip, np.float32(0), seen.costs)
    return replace(seen, costs=costs, known=seen.known | strip)
