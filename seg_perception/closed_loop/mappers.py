"""From a camera pose on a course to the map that the planner reads: simulated camera, perception, or ground truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seg_perception.closed_loop.course import Course
from seg_perception.closed_loop.variants import Variant
from seg_perception.costmap.nav2_encoding import decode_costs, encode_costs
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.inference.engine import Engine
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.simulation.drive import START_NS
from seg_perception.simulation.rendering.render import Observation, RenderedView, observe
from seg_perception.simulation.sensors.degradation import DriftingOdometry, SensorDegradation
from seg_perception.simulation.world.world import true_costmap

SETTINGS = PipelineSettings(grid=GridSettings(width=44.0, height=16.0, half_life=10.0))
MOUNT = mount_to_base_from_optical(0.3, 0.0, 1.2, 0.0, 0.1, 0.0)
IMAGE_PERIOD_S = 1.25

_PoseKey = tuple[bytes, bytes]


@dataclass(frozen=True, eq=False)
class PlannerMap:
    """What the planner reads.

    Attributes:
        costs: float32 [rows, cols], as nav2 reads them.
        known: bool [rows, cols].
        bounds: where the cells lie in the robot's odom.
        measured_pose: of the robot in its odom, odom_from_base.
    """

    costs: NDArray[np.float32]
    known: NDArray[np.bool_]
    bounds: GridBounds
    measured_pose: Transform


class Mapper(Protocol):
    """Makes the planner's map, image by image."""

    def update(self, number: int, actual_pose: Transform) -> PlannerMap:
        """The map after image `number` of the drive, taken from an actual pose in the course's odom."""


class CameraSimulator:
    """Renders the images of a course; drives of several variants that take an image from the same pose share it."""

    def __init__(self, course: Course, camera: Camera, degradation: SensorDegradation, seed: int) -> None:
        """Prepare a course.

        Args:
            course: the world.
            camera: its nominal extrinsics are `MOUNT`.
            degradation: of light, lens and extrinsics.
            seed: of the dirt on the lens.
        """
        self.course, self.camera, self.degradation = course, camera, degradation
        self._seed = seed
        self._views: dict[tuple[int, _PoseKey], RenderedView] = {}
        self._last: tuple[_PoseKey, Observation] | None = None  # a robot that waits needs only another image of it

    def render(self, number: int, actual_pose: Transform) -> RenderedView:
        """Image `number` of a drive and its labels, from an actual pose."""
        key = actual_pose.translation.tobytes(), actual_pose.rotation.tobytes()
        if (number, key) not in self._views:
            if self._last is None or self._last[0] != key:
                odom_from_optical = self.degradation.actual_odom_from_optical(actual_pose, MOUNT)
                self._last = key, observe(self.course.world, self.camera, odom_from_optical)
            view = self._last[1].image(number)
            self._views[number, key] = replace(view, rgb=self.degradation.degrade(view.rgb, self._seed))
        return self._views[number, key]


class CameraMapper:
    """The perception pipeline: image, network, evidence grid, costs."""

    def __init__(
        self,
        camera_simulator: CameraSimulator,
        variant: Variant,
        engine: Engine,
        matrix: CostMatrix,
        true_labels: bool = False,
    ) -> None:
        """Begin at the start of a course.

        Args:
            camera_simulator: of the course.
            variant: how cells are assigned a cost.
            engine: opened for `SETTINGS`.
            matrix: costs for its classes.
            true_labels: give the engine, a `LabelEngine`, the true labels instead of images.
        """
        self._true_labels = true_labels
        self._camera_simulator, self._variant, self._matrix = camera_simulator, variant, matrix
        self._pipeline = Pipeline(variant.engine(engine), matrix, SETTINGS)
        self._odometry = DriftingOdometry(camera_simulator.course.start, camera_simulator.degradation)

    def update(self, number: int, actual_pose: Transform) -> PlannerMap:
        """See `Mapper.update`."""
        view = self._camera_simulator.render(number, actual_pose)
        image = np.repeat(view.labels[..., np.newaxis], 3, axis=-1) if self._true_labels else view.rgb
        measured = self._odometry.measure(actual_pose)
        stamp = START_NS + round(number * IMAGE_PERIOD_S * 1e9)
        self._pipeline.process(Frame(stamp, image, "rgb", self._camera_simulator.camera, measured, MOUNT, "camera"))
        costs, known = decode_costs(encode_costs(*self._variant.costs(self._pipeline.grid, self._matrix)))
        return PlannerMap(costs, known, self._pipeline.grid.bounds, measured)


class GroundTruthMapper:
    """The true costmap: drives with it show what planning and steering alone cost."""

    def __init__(self, course: Course, matrix: CostMatrix) -> None:
        """Compute the true costs of a course."""
        self._bounds = course.bounds
        costs = true_costmap(course.world, self._bounds, matrix.traverse)
        self._costs, self._known = decode_costs(encode_costs(costs, np.ones(costs.shape, bool)))

    def update(self, number: int, actual_pose: Transform) -> PlannerMap:
        """See `Mapper.update`."""
        return PlannerMap(self._costs, self._known, self._bounds, actual_pose)
