"""The one thing that every door hands to the pipeline: an image, when it was taken, from where, how deep."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, footprint_of


@dataclass(frozen=True, eq=False)
class DepthImage:
    """How far away what a camera sees is, pixel by pixel.

    Attributes:
        stamp_ns: time it was measured, nanoseconds.
        metres: float32 [H, W], z in the optical frame; 0, negative or not finite where nothing was measured. Aligned
            with the camera's image, whose size may be another.
        odom_from_optical: pose of the camera at that time.
    """

    stamp_ns: int
    metres: NDArray[np.float32]
    odom_from_optical: Transform


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points that a LiDAR or a stereo camera measured.

    Attributes:
        stamp_ns: time they were measured, nanoseconds.
        xyz: float32 [N, 3], in the sensor's frame, m; not finite where nothing was measured.
        odom_from_sensor: pose of the sensor at that time.
    """

    stamp_ns: int
    xyz: NDArray[np.float32]
    odom_from_sensor: Transform


@dataclass(frozen=True)
class Frame:
    """One camera image with its geometry, all at the image's own stamp, and what was measured about that time.

    Attributes:
        stamp_ns: time of exposure, nanoseconds.
        image: uint8 [H, W, 3], channels in `channel_order`; may be a read-only view.
        channel_order: "rgb" or "bgr".
        camera: intrinsics for this image's size.
        odom_from_base: pose of the robot (base_link, REP-105) in odom.
        base_from_optical: pose of the camera's optical frame (REP-103) on the robot.
        frame_id: name of the optical frame, kept for what is published.
        depth: the depth image next to it in time, if there is one.
        points: the point cloud next to it in time, if there is one.
    """

    stamp_ns: int
    image: NDArray[np.uint8]
    channel_order: Literal["rgb", "bgr"]
    camera: Camera
    odom_from_base: Transform
    base_from_optical: Transform
    frame_id: str
    depth: DepthImage | None = None
    points: PointCloud | None = None

    @cached_property
    def odom_from_footprint(self) -> Transform:
        """The level frame under the robot; see `footprint_of`."""
        return footprint_of(self.odom_from_base)
