"""Frames of scenes with exact depth, seen by a depth camera or a LiDAR, and the costmap around what they show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.depth_scenes import NOTHING, ROAD, Body, render_depth, scan

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.pipeline.result import Result
from seg_perception.sensor_data.frame import DepthImage, Frame, PointCloud
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.ground import GroundSettings
from seg_perception.settings.pipeline import PipelineSettings

CAMERA = Camera.from_fields(320, 240, "plumb_bob", [240, 0, 159.5, 0, 240, 119.5, 0, 0, 1], [])
EXTRINSICS = mount_to_base_from_optical(0.2, 0.0, 1.0, 0.0, 0.35, 0.0)
LIDAR = Transform.from_xyz_rpy(0.0, 0.1, 1.2, 0.0, 0.0, 0.3)
ELEVATIONS, AZIMUTHS = np.radians(np.linspace(-40, 5, 128)), np.radians(np.arange(-60, 40, 0.25))
SETTINGS = PipelineSettings(
    GroundSettings(max_range=8.0),
    GridSettings(width=20.0, height=20.0, prior_strength=1e-4, min_evidence=0.05),
)
HERE = Transform.from_xyz_rpy(1.23, -0.56, 0.0, 0.0, 0.0, 0.1)
STAMP = 10**9


def with_depth(bodies: list[Body], pose: Transform) -> Frame:
    """A frame with the depth image of a scene."""
    depth, labels = render_depth(bodies, CAMERA, pose @ EXTRINSICS)
    image = np.where(labels == NOTHING, ROAD, labels)[..., np.newaxis].repeat(3, axis=2).astype(np.uint8)
    return Frame(
        STAMP, image, "bgr", CAMERA, pose, EXTRINSICS, "camera", depth=DepthImage(STAMP, depth, pose @ EXTRINSICS)
    )


def with_points(bodies: list[Body], pose: Transform) -> Frame:
    """A frame with the point cloud of a scene."""
    cloud = scan(bodies, pose @ LIDAR, ELEVATIONS, AZIMUTHS)
    return replace(with_depth(bodies, pose), depth=None, points=PointCloud(STAMP, cloud, pose @ LIDAR))


def cells_within(result: Result, x: tuple[float, float], y: tuple[float, float]) -> np.ndarray:
    """Costs of the cells whose centres lie within a box of odom."""
    left, bottom = result.bounds.origin
    centre_x = left + (np.arange(result.bounds.cols) + 0.5) * result.bounds.resolution
    centre_y = bottom + (np.arange(result.bounds.rows) + 0.5) * result.bounds.resolution
    rows, cols = (centre_y > y[0]) & (centre_y < y[1]), (centre_x > x[0]) & (centre_x < x[1])
    return result.costmap[np.ix_(rows, cols)]


def is_free(costs: np.ndarray) -> np.ndarray:
    """Whether cells cost next to nothing."""
    return (costs >= 0) & (costs <= 5)
