"""The standard drives: one simulated street after the other, each with one thing that goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seg_perception.evaluation.costmap.metrics import Rules, Truth, away_from
from seg_perception.evaluation.costmap.paths import Body
from seg_perception.evaluation.costmap.run import CostmapRun
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import Raster
from seg_perception.geometry.transforms import Transform
from seg_perception.inference.engine import Engine
from seg_perception.pipeline.pipeline import Pipeline, field_of_view
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import DepthImage, Frame
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.simulation.drive import ROBOTS, START_NS, Drive, Scenario
from seg_perception.simulation.rendering.render import render, true_view
from seg_perception.simulation.sensors.degradation import Fault, Odometry, told_from_true
from seg_perception.simulation.world.world import World

WARM_UP = 5  # images that fill the grid before anything is judged
_JUDGE_EVERY = 3  # images; those in between look almost the same


@dataclass(frozen=True)
class Standard:
    """How the standard drives are driven.

    Attributes:
        robot: "car" or "pavement".
        seconds: length of a drive.
        fps: images per second.
        seeds: worlds, each driven once with each fault.
        depth: whether the camera also measures depth, exactly.
    """

    robot: str = "pavement"
    seconds: float = 8.0
    fps: float = 4.0
    seeds: tuple[int, ...] = (1, 2, 3)
    depth: bool = False

    @property
    def body(self) -> Body:
        """The robot for planning: within the strip that the world keeps free for it."""
        radius = 0.8 * ROBOTS[self.robot].half_width
        return Body(radius=radius, inflation_radius=radius + 0.75)


def judge_drives(
    fault: Fault,
    standard: Standard,
    engine: Engine,
    matrix: CostMatrix,
    settings: PipelineSettings,
    rules: Rules,
    true_labels: bool = False,
    progress: Callable[[], None] | None = None,
) -> CostmapRun:
    """Drive all seeds with a fault and judge every third costmap against the simulator's exact one.

    Args:
        fault: what goes wrong, and the robot is not told.
        standard: robot, length and seeds.
        engine: opened with `graph_spec(settings, "rgb")`.
        matrix: costs for its classes, which are the simulator's.
        settings: of the pipeline.
        rules: bands and tolerance.
        true_labels: show the engine, a `LabelEngine`, the true labels instead of pictures.
        progress: called after each drive.
    """
    run = CostmapRun(rules, standard.body)
    pictures = not true_labels or settings.ground.max_pitch_error > 0  # the horizon is found by looking at the ground
    for seed in standard.seeds:
        pipeline = Pipeline(engine, matrix, settings)
        frames = _frames(fault, standard, seed, engine, matrix, true_labels, pictures)
        for number, frame, world, true, standing in frames:
            result = pipeline.process(frame)
            if number >= WARM_UP and number % _JUDGE_EVERY == 0:
                odom_from_true = told_from_true(frame.odom_from_base, true)
                height = settings.projection.robot_height
                truth = truth_of(world, result.raster, odom_from_true, matrix, height)
                low = odom_from_true.apply(standing[standing[:, 2] < height])
                truth = replace(truth, shown=near_points(low, result.raster, rules.tolerance))
                run.add(result, truth, field_of_view(result, settings))
        run.end_drive()
        if progress is not None:
            progress()
    return run


def truth_of(world: World, raster: Raster, odom_from_true: Transform, matrix: CostMatrix, robot_height: float) -> Truth:
    """The simulator's exact map on the cells of a costmap.

    Args:
        world: as it is at the costmap's stamp.
        raster: cells in the robot's odom.
        odom_from_true: where the robot's odometry has come to lie against the world.
        matrix: costs for the simulator's classes.
        robot_height: what begins higher than this is not in its way, m.
    """
    classes = _true_classes(world, raster, odom_from_true, robot_height)
    return Truth(matrix.traverse[classes], np.ones(classes.shape, np.bool_), matrix.standing[classes])


def near_points(xyz: NDArray[np.float64], raster: Raster, reach: float) -> NDArray[np.bool_]:
    """Cells, bool [rows, cols], of a raster whose centre is no further than `reach` (m) from that of a point's cell.

    Args:
        xyz: float64 [N, 3], in odom, m.
        raster: the cells.
        reach: m.
    """
    cells = np.zeros((raster.rows, raster.cols), np.bool_)
    col, row = np.floor((xyz[:, :2] - raster.origin) / raster.resolution + 1e-9).astype(np.intp).T
    inside = (row >= 0) & (row < raster.rows) & (col >= 0) & (col < raster.cols)
    cells[row[inside], col[inside]] = True
    near: NDArray[np.bool_] = away_from(cells) <= reach / raster.resolution + 1e-6
    return near


def _true_classes(world: World, raster: Raster, odom_from_true: Transform, robot_height: float) -> NDArray[np.uint8]:
    if np.array_equal(odom_from_true.rotation, np.eye(3)) and not odom_from_true.translation.any():
        return world.true_classes(raster.origin, raster.resolution, raster.rows, raster.cols, robot_height)
    centres = np.insert(raster.centres(), 2, 0.0, axis=-1)
    true = odom_from_true.inverse().apply(centres)[..., :2]
    first = np.floor(true.min(axis=(0, 1)) / raster.resolution)
    col, row = np.moveaxis((np.floor(true / raster.resolution) - first).astype(np.intp), -1, 0)
    origin = (float(first[0] * raster.resolution), float(first[1] * raster.resolution))
    classes = world.true_classes(origin, raster.resolution, int(row.max()) + 1, int(col.max()) + 1, robot_height)
    under: NDArray[np.uint8] = classes[row, col]
    return under


def _frames(
    fault: Fault,
    standard: Standard,
    seed: int,
    engine: Engine,
    matrix: CostMatrix,
    true_labels: bool,
    pictures: bool,
) -> Iterator[tuple[int, Frame, World, Transform, NDArray[np.float64]]]:
    """Of the images that arrive: number, frame as the robot is told it, world, true pose, points in it that stand.

    True labels lie in the first channel of the image; with `pictures` the other two are those of the picture.
    """
    camera = standard_camera(engine.card.width, engine.card.height)
    scenario = Scenario(
        camera,
        seed=seed,
        duration=standard.seconds,
        fps=standard.fps,
        robot=standard.robot,  # type: ignore[arg-type]  # checked by Scenario
        conditions=fault.weather(seed),
        crowd=fault.crowd,
    )
    drive = Drive(scenario)
    rays, _ = camera.rays(np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1))
    rays = rays / rays[..., 2:]
    odometry = Odometry(drive.odom_from_base(START_NS), fault)
    for number, stamp_ns in enumerate(scenario.stamps_ns):
        true = drive.odom_from_base(stamp_ns)
        told = odometry.tell(true)
        if not fault.arrives(number, seed):
            continue
        world = drive.world(stamp_ns)
        mount = drive.base_from_optical
        seen_from = fault.seen_from(true, mount)
        if not pictures:
            labels, metres = true_view(world, camera, seen_from)
            image = np.repeat(labels[..., np.newaxis], 3, axis=-1)
        else:
            view = render(world, camera, seen_from, frame=number)
            image, labels, metres = fault.spoil(view.rgb, seed), view.labels, view.depth
            if true_labels:
                image = np.concatenate([labels[..., np.newaxis], image[..., 1:]], axis=-1)
        of_class = np.append(matrix.standing, np.zeros(256 - len(matrix.standing), np.bool_))
        v, u = np.nonzero(of_class[labels])
        standing = seen_from.apply(rays[v, u] * metres[v, u, np.newaxis])
        depth = DepthImage(stamp_ns, metres, told @ mount) if standard.depth else None
        yield number, Frame(stamp_ns, image, "rgb", camera, told, mount, "camera", depth), world, true, standing


def standard_camera(width: int, height: int) -> Camera:
    """62° across, at the network's size: its pixels are judged, not a scaler's."""
    focal = width / (2 * math.tan(math.radians(62.0) / 2))
    k = [focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1]
    return Camera.from_fields(width, height, "plumb_bob", k, [])
