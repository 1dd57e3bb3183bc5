"""The input of the pipeline: an image with its time, pose and camera, and the depth or points next to it in time."""

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
    """A depth image, aligned with the image of a camera.

    Attributes:
        stamp_ns: time it was measured, nanoseconds.
        metres: float32 [H, W], z in the optical frame; 0, negative or not finite where nothing was measured. The
            camera's image may have another size.
        odom_from_optical: pose of the camera at that time.
    """

    stamp_ns: int
    metres: NDArray[np.float32]
    odom_from_optical: Transform


@dataclass(frozen=True, eq=False)
class PointCloud:
    """A point cloud of a LiDAR or a stereo camera.

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
    """One camera image with its pose and camera at the stamp of the image, and the depth or points next to it in time.

    Attributes:
        stamp_ns: time of exposure, nanoseconds.
        image: uint8 [H, W, 3], channels in `channel_order`; may be a read-only view.
        channel_order: "rgb" or "bgr".
        camera: intrinsics for this image's size.
        odom_from_base: pose of the robot (base_link, REP-105) in odom.
        base_from_optical: extrinsics, pose of the camera's optical frame (REP-103) in base_link.
        frame_id: name of the optical frame, for the published messages.
        depth: the depth image next to it in time, if there is one.
        points: the point cloud next to it in time, if there is one.

    Examples:
        >>> frame = sp.Frame(
        ...     stamp_ns=0,
        ...     image=np.zeros((480, 640, 3), np.uint8),
        ...     channel_order="rgb",
        ...     camera=camera,
        ...     odom_from_base=sp.Transform.identity(),
        ...     base_from_optical=base_from_optical,
        ...     frame_id="camera",
        ... )
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
