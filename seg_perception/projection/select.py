"""Selects the projection of a frame, and says why a better one was not possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from seg_perception.errors import ProjectionError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.extrinsic_calibration.online_calibration import AttitudeCorrection
from seg_perception.projection.flat_ground.projection import FlatGroundProjection
from seg_perception.projection.ground_projection import GroundProjection
from seg_perception.projection.range.cloud_points import cloud_points
from seg_perception.projection.range.depth_points import depth_points
from seg_perception.projection.range.measured_points import MeasuredPoints
from seg_perception.projection.range.projection import RangeProjection
from seg_perception.projection.range.terrain import TerrainKind, classify_terrain
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.settings.projection import Projection

NO_POINTS = "no point cloud"
POINTS_LATE = "point cloud of another time than the image"
POINTS_NO_GROUND = "point cloud shows no ground"
NO_DEPTH = "no depth image"
DEPTH_LATE = "depth image of another time than the image"
DEPTH_SHAPE = "depth image of another shape than the image"
DEPTH_NO_GROUND = "depth image shows no ground"

# Widths and heights are whole numbers, so scaled images keep their shape only roughly.
_SHAPE_TOLERANCE = 0.02


@dataclass(frozen=True)
class SelectedProjection:
    """How a frame is projected.

    Attributes:
        projection: maps its pixels to the ground.
        name: of the projection: "points", "depth" or "plane".
        refused: why projections that "auto" prefers were not possible; a few fixed texts, for counting.
    """

    projection: GroundProjection
    name: Projection
    refused: tuple[str, ...]


class _RefusedError(Exception):
    """A frame cannot be projected with a measurement; the text is the reason."""


def select_projection(
    frame: Frame, camera: Camera, settings: PipelineSettings, correction: AttitudeCorrection | None = None
) -> SelectedProjection:
    """Select the projection that `projection.mode` names, or the best possible one.

    "auto" prefers points, then depth, then flat ground. If the points show no ground, as those of a LiDAR with a single
    level beam, depth that shows ground is used instead. Measurements that came in time are never replaced by flat
    ground: a sensor that sees no ground may look into a hole.

    Args:
        frame: with or without depth and points.
        camera: of the image that the network gets.
        settings: ground and projection.
        correction: of the camera's attitude by online calibration. Only flat ground uses it; measured ground uses the
            nominal extrinsics.

    Raises:
        ProjectionError: the projection that `projection.mode` names is not possible.
        GeometryError: flat ground is selected, and the camera sees none.
    """
    footprint_from_odom = frame.odom_from_footprint.inverse()
    footprint_from_optical = footprint_from_odom @ frame.odom_from_base @ frame.base_from_optical
    mode, refused = settings.projection.mode, []
    measures: dict[Projection, Callable[[], MeasuredPoints]] = {
        "points": lambda: _points(frame, camera, footprint_from_odom, footprint_from_optical, settings),
        "depth": lambda: _depth(frame, footprint_from_odom, footprint_from_optical, settings),
    }
    groundless: list[SelectedProjection] = []
    for name, measure in measures.items():
        if mode not in ("auto", name):
            continue
        try:
            measured = measure()
        except _RefusedError as error:
            refused.append(str(error))
            continue
        terrain = classify_terrain(measured, 1 / float(camera.matrix[1, 1]), settings.ground, settings.projection)
        projection = RangeProjection.at(measured, terrain, settings.ground.max_samples)
        if (terrain.kind == TerrainKind.GROUND).any():
            return SelectedProjection(projection, name, tuple(refused))
        refused.append(POINTS_NO_GROUND if name == "points" else DEPTH_NO_GROUND)
        groundless.append(SelectedProjection(projection, name, tuple(refused)))
    if groundless:
        return replace(groundless[0], refused=tuple(refused))
    if mode in ("auto", "plane"):
        if correction is not None:
            footprint_from_optical = footprint_from_optical @ correction.nominal_from_actual
        flat_ground = FlatGroundProjection.at(camera, footprint_from_optical, settings.ground)
        return SelectedProjection(flat_ground, "plane", tuple(refused))
    raise ProjectionError(refused[0], mode)


def _points(
    frame: Frame,
    camera: Camera,
    footprint_from_odom: Transform,
    footprint_from_optical: Transform,
    settings: PipelineSettings,
) -> MeasuredPoints:
    cloud = frame.points
    if cloud is None:
        raise _RefusedError(NO_POINTS)
    if _is_late(cloud.stamp_ns, frame, settings):
        raise _RefusedError(POINTS_LATE)
    footprint_from_sensor = footprint_from_odom @ cloud.odom_from_sensor
    return cloud_points(cloud.xyz, footprint_from_sensor, camera, footprint_from_optical, settings.projection)


def _depth(
    frame: Frame, footprint_from_odom: Transform, footprint_from_optical: Transform, settings: PipelineSettings
) -> MeasuredPoints:
    depth = frame.depth
    if depth is None:
        raise _RefusedError(NO_DEPTH)
    if _is_late(depth.stamp_ns, frame, settings):
        raise _RefusedError(DEPTH_LATE)
    height, width = depth.metres.shape
    if abs(width * frame.camera.height / (height * frame.camera.width) - 1) > _SHAPE_TOLERANCE:
        raise _RefusedError(DEPTH_SHAPE)
    camera = frame.camera.resized(width, height)
    if depth.stamp_ns == frame.stamp_ns:
        return depth_points(depth.metres, camera, footprint_from_optical, None, settings.projection)
    footprint_from_depth = footprint_from_odom @ depth.odom_from_optical
    return depth_points(depth.metres, camera, footprint_from_depth, footprint_from_optical, settings.projection)


def _is_late(stamp_ns: int, frame: Frame, settings: PipelineSettings) -> bool:
    return abs(stamp_ns - frame.stamp_ns) > settings.projection.max_time_difference * 1e9
