"""Camera extrinsics: the pose of a camera on the robot, and its calibration from one image of a straight lane."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seg_perception.errors import GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import BODY_FROM_OPTICAL, Transform, mount_to_base_from_optical


@dataclass(frozen=True)
class CameraExtrinsics:
    """Pose in base_link of the camera's body (x forward, y left, z up).

    Attributes:
        x, y, z: metres.
        roll, pitch, yaw: radians about fixed axes; a positive pitch looks down.
    """

    x: float
    y: float
    z: float
    roll: float
    pitch: float
    yaw: float

    def base_from_optical(self) -> Transform:
        """Pose of the camera's optical frame in base_link."""
        return mount_to_base_from_optical(self.x, self.y, self.z, self.roll, self.pitch, self.yaw)


def fit_extrinsics_to_lane(camera: Camera, left: ArrayLike, right: ArrayLike, lane_width: float) -> CameraExtrinsics:
    """Calibrate height, pitch and yaw of a camera from an image taken in line with a straight, level lane.

    Two parallel lines meet in the image at the vanishing point of their direction, which gives pitch and yaw. The
    height then follows from their distance. (Hartley and Zisserman, "Multiple View Geometry", 2nd ed., section 8.6.)
    Roll cannot be distinguished from a sloping road this way and is assumed to be 0.

    Args:
        camera: of the image, with its distortion.
        left: pixels [N, 2] along the left line, N >= 2, far apart.
        right: pixels along the right line, likewise.
        lane_width: distance between the two lines, m.

    Returns:
        The extrinsics, with base_link on the ground under the camera: x = y = roll = 0.

    Raises:
        GeometryError: the pixels do not define a lane.
    """
    if not (math.isfinite(lane_width) and lane_width > 0):
        raise GeometryError(f"the lane is {lane_width} m wide; give the distance between its two lines in metres.")
    left_rays, right_rays = _rays_along(camera, left, "left"), _rays_along(camera, right, "right")
    left_plane, right_plane = _plane_through(left_rays), _plane_through(right_rays)
    along = np.cross(left_plane, right_plane)
    length = float(np.linalg.norm(along))
    if length < 1e-9:
        raise GeometryError("the left and the right lane line are one and the same; give the pixels of two lines.")
    forward, sideways, up = (along / math.copysign(length, along[0])).tolist()
    pitch, yaw = math.atan2(up, forward), -math.asin(sideways)
    base_from_body = Transform.from_xyz_rpy(0.0, 0.0, 0.0, 0.0, pitch, yaw)
    if (base_from_body.apply(np.concatenate([left_rays, right_rays]))[:, 2] >= 0).any():
        raise GeometryError("the lane lines do not run together upwards in the image; give two that meet far ahead.")
    # In base axes a plane through the camera and a line at (y, z = -height) has the normal (0, height, y).
    _, left_height, left_y = base_from_body.apply(left_plane).tolist()
    _, right_height, right_y = base_from_body.apply(right_plane).tolist()
    width_at_height_1 = left_y / left_height - right_y / right_height
    if width_at_height_1 <= 0:
        raise GeometryError("the left lane line is to the right of the right one; swap the two.")
    return CameraExtrinsics(0.0, 0.0, lane_width / width_at_height_1, 0.0, pitch, yaw)


def _rays_along(camera: Camera, line: ArrayLike, name: str) -> NDArray[np.float64]:
    """Unit rays [N, 3], in body axes, through the pixels of a line."""
    pixels = np.asarray(line, dtype=np.float64)
    if pixels.ndim != 2 or pixels.shape[1] != 2 or len(pixels) < 2 or not np.isfinite(pixels).all():
        raise GeometryError(f"the {name} lane line must be two or more pixels (u, v), not {pixels.tolist()}.")
    rays, valid = camera.rays(pixels)
    if not valid.all():
        raise GeometryError(f"the lens cannot see pixels {pixels[~valid].tolist()} of the {name} lane line.")
    if np.linalg.svd(rays, compute_uv=False)[1] < 1e-6:
        raise GeometryError(f"the {name} lane line has only one distinct pixel; give pixels far apart along it.")
    return BODY_FROM_OPTICAL.apply(rays)


def _plane_through(rays: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit normal of the plane through the camera and a straight line: the smallest singular vector of its rays."""
    normal: NDArray[np.float64] = np.linalg.svd(rays)[2][2]
    return normal
