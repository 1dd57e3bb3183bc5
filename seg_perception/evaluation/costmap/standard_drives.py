"""The standard drives: simulated streets, each driven with one sensor degradation, evaluated against ground truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seg_perception.evaluation.costmap.evaluator import CostmapEvaluator
from seg_perception.evaluation.costmap.metrics import CostmapEvaluationConfig, GroundTruth, distance_to_cells
from seg_perception.evaluation.costmap.paths import RobotFootprint
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.transforms import Transform
from seg_perception.inference.engine import Engine
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.pipeline.result import field_of_view
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import DepthImage, Frame
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.simulation.drive import ROBOTS, START_NS, Drive, Scenario
from seg_perception.simulation.rendering.render import render, render_ground_truth
from seg_perception.simulation.sensors.degradation import DriftingOdometry, SensorDegradation, measured_from_actual
from seg_perception.simulation.world.world import World

WARM_UP = 5  # images that fill the grid before the evaluation starts
_EVALUATED_EVERY = 3  # images; those in between look almost the same


@dataclass(frozen=True)
class StandardDrives:
    """How the standard drives are driven.

    Attributes:
        robot: "car" or "pavement".
        seconds: length of a drive.
        fps: images per second.
        seeds: worlds, each driven once per degradation.
        depth: whether the camera also measures depth, exactly.
    """

    robot: str = "pavement"
    seconds: float = 8.0
    fps: float = 4.0
    seeds: tuple[int, ...] = (1, 2, 3)
    depth: bool = False

    @property
    def footprint(self) -> RobotFootprint:
        """For planning: narrower than the strip that the world keeps free for the robot."""
        radius = 0.8 * ROBOTS[self.robot].half_width
        return RobotFootprint(radius=radius, inflation_radius=radius + 0.75)


def evaluate_drives(
    degradation: SensorDegradation,
    standard: StandardDrives,
    engine: Engine,
    matrix: CostMatrix,
    settings: PipelineSettings,
    config: CostmapEvaluationConfig,
    true_labels: bool = False,
    progress: Callable[[], None] | None = None,
) -> CostmapEvaluator:
    """Drive all seeds with a sensor degradation and evaluate every third costmap against the simulator's ground truth.

    Args:
        degradation: of camera, extrinsics, ground or odometry; the pipeline does not know of it.
        standard: robot, length and seeds.
        engine: opened with `graph_spec(settings, "rgb")`.
        matrix: costs for its classes, which are the simulator's.
        settings: of the pipeline.
        config: bands and tolerance.
        true_labels: give the engine, a `LabelEngine`, ground-truth labels instead of images.
        progress: called after each drive.
    """
    evaluator = CostmapEvaluator(config, standard.footprint)
    # The online calibration of the extrinsics needs an image of the ground.
    with_image = not true_labels or settings.ground.max_pitch_error > 0
    for seed in standard.seeds:
        pipeline = Pipeline(engine, matrix, settings)
        frames = _frames(degradation, standard, seed, engine, matrix, true_labels, with_image)
        for number, frame, world, true, obstacle_points in frames:
            result = pipeline.process(frame)
            if number >= WARM_UP and number % _EVALUATED_EVERY == 0:
                odom_from_true = measured_from_actual(frame.odom_from_base, true)
                height = settings.projection.robot_height
                ground_truth = simulated_ground_truth(world, result.bounds, odom_from_true, matrix, height)
                low = odom_from_true.apply(obstacle_points[obstacle_points[:, 2] < height])
                ground_truth = replace(ground_truth, in_image=cells_near_points(low, result.bounds, config.tolerance))
                evaluator.add(result, ground_truth, field_of_view(result, settings))
        evaluator.end_drive()
        if progress is not None:
            progress()
    return evaluator


def simulated_ground_truth(
    world: World, bounds: GridBounds, odom_from_true: Transform, matrix: CostMatrix, robot_height: float
) -> GroundTruth:
    """The simulator's exact map on the cells of a costmap.

    Args:
        world: as it is at the costmap's stamp.
        bounds: of the cells in the robot's odom frame.
        odom_from_true: transform of the world into the robot's odom frame; not the identity if odometry drifts.
        matrix: costs for the simulator's classes.
        robot_height: parts of the world that begin higher than this are no obstacles, m.
    """
    classes = _true_classes(world, bounds, odom_from_true, robot_height)
    return GroundTruth(matrix.traverse[classes], np.ones(classes.shape, np.bool_), matrix.standing[classes])


def cells_near_points(xyz: NDArray[np.float64], bounds: GridBounds, reach: float) -> NDArray[np.bool_]:
    """Cells, bool [rows, cols], whose center is no further than `reach` from the center of a point's cell.

    Args:
        xyz: float64 [N, 3], in odom, m.
        bounds: of the cells.
        reach: m.
    """
    cells = np.zeros((bounds.rows, bounds.cols), np.bool_)
    col, row = np.floor((xyz[:, :2] - bounds.origin) / bounds.resolution + 1e-9).astype(np.intp).T
    inside = (row >= 0) & (row < bounds.rows) & (col >= 0) & (col < bounds.cols)
    cells[row[inside], col[inside]] = True
    near: NDArray[np.bool_] = distance_to_cells(cells) <= reach / bounds.resolution + 1e-6
    return near


def _true_classes(
    world: World, bounds: GridBounds, odom_from_true: Transform, robot_height: float
) -> NDArray[np.uint8]:
    if np.array_equal(odom_from_true.rotation, np.eye(3)) and not odom_from_true.translation.any():
        return world.true_classes(bounds.origin, bounds.resolution, bounds.rows, bounds.cols, robot_height)
    centres = np.insert(bounds.centres(), 2, 0.0, axis=-1)
    true = odom_from_true.inverse().apply(centres)[..., :2]
    first = np.floor(true.min(axis=(0, 1)) / bounds.resolution)
    col, row = np.moveaxis((np.floor(true / bounds.resolution) - first).astype(np.intp), -1, 0)
    origin = (float(first[0] * bounds.resolution), float(first[1] * bounds.resolution))
    classes = world.true_classes(origin, bounds.resolution, int(row.max()) + 1, int(col.max()) + 1, robot_height)
    under: NDArray[np.uint8] = classes[row, col]
    return under


def _frames(
    degradation: SensorDegradation,
    standard: StandardDrives,
    seed: int,
    engine: Engine,
    matrix: CostMatrix,
    true_labels: bool,
    with_image: bool,
) -> Iterator[tuple[int, Frame, World, Transform, NDArray[np.float64]]]:
    """Per image that arrives: number, frame with the measured pose, world, true pose, and points of obstacles in view.

    True labels lie in the first channel of the image; with `with_image` the other two are those of the rendered image.
    """
    camera = standard_camera(engine.card.width, engine.card.height)
    scenario = Scenario(
        camera,
        seed=seed,
        duration=standard.seconds,
        fps=standard.fps,
        robot=standard.robot,  # type: ignore[arg-type]  # checked by Scenario
        conditions=degradation.weather(seed),
        crowd=degradation.crowd,
    )
    drive = Drive(scenario)
    rays, _ = camera.rays(np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1))
    rays = rays / rays[..., 2:]
    odometry = DriftingOdometry(drive.odom_from_base(START_NS), degradation)
    for number, stamp_ns in enumerate(scenario.stamps_ns):
        true = drive.odom_from_base(stamp_ns)
        measured = odometry.measure(true)
        if not degradation.arrives(number, seed):
            continue
        world = drive.world(stamp_ns)
        nominal = drive.base_from_optical
        odom_from_optical = degradation.actual_odom_from_optical(true, nominal)
        if not with_image:
            labels, metres = render_ground_truth(world, camera, odom_from_optical)
            image = np.repeat(labels[..., np.newaxis], 3, axis=-1)
        else:
            view = render(world, camera, odom_from_optical, frame=number)
            image, labels, metres = degradation.degrade(view.rgb, seed), view.labels, view.depth
            if true_labels:
                image = np.concatenate([labels[..., np.newaxis], image[..., 1:]], axis=-1)
        is_obstacle = np.append(matrix.standing, np.zeros(256 - len(matrix.standing), np.bool_))
        v, u = np.nonzero(is_obstacle[labels])
        obstacle_points = odom_from_optical.apply(rays[v, u] * metres[v, u, np.newaxis])
        depth = DepthImage(stamp_ns, metres, measured @ nominal) if standard.depth else None
        yield (
            number,
            Frame(stamp_ns, image, "rgb", camera, measured, nominal, "camera", depth),
            world,
            true,
            obstacle_points,
        )


def standard_camera(width: int, height: int) -> Camera:
    """A camera of 62° horizontal field of view at the network's size, so that no image is resized."""
    focal = width / (2 * math.tan(math.radians(62.0) / 2))
    k = [focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1]
    return Camera.from_fields(width, height, "plumb_bob", k, [])
