"""The ground of one image, resampled for a level camera at the same position.

If the camera's attitude is right, two such views of the same flat ground differ by the robot's motion alone.
`attitude_fit` estimates the attitude from this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform

F32 = NDArray[np.float32]

LEVELS = 3
"""Number of scales at which views are compared; each has half the resolution of the one before."""

_MOST_COLUMNS = 240  # of a view; more columns cost time and are not needed
_STEEPEST = 1.0  # slope of the lines of sight at the edges of a view: 45° sideways and downwards
_FURTHEST = 12.0  # ground in view, in heights of the camera
_WINDOW = 15  # pixels, over which contrast is normalised
_NOISE = 1.5  # grey levels; contrast well below this counts as noise


@dataclass(frozen=True, eq=False)
class GroundView:
    """The ground from a level camera: x along the heading of the real one, y left, z up.

    Column c and row r look along (1, -right, -down) with right = right_0 + c · step and down = down_0 + r · step.

    Attributes:
        grey: float32 [h, w], brightness.
        ground: float32 [h, w], 1 where the image shows ground, else 0.
        odom_from_level: pose of the level camera.
        height: of the camera over the ground, m.
        level_from_optical: float64 [3, 3], rotation of the real camera against it, by the nominal extrinsics.
        first: (right_0, down_0).
        step: between neighbouring columns and rows.
    """

    grey: F32
    ground: F32
    odom_from_level: Transform
    height: float
    level_from_optical: NDArray[np.float64]
    first: tuple[float, float]
    step: float

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The view without its levels, as arrays that np.savez keeps exactly."""
        pose, rotation = self.odom_from_level, self.level_from_optical
        numbers = [*pose.rotation.flat, *pose.translation, self.height, *rotation.flat, *self.first, self.step]
        return {"grey": self.grey, "ground": self.ground, "numbers": np.array(numbers)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> GroundView:
        """The view that `to_arrays` described."""
        numbers = arrays["numbers"]
        pose = Transform(numbers[:9].reshape(3, 3), numbers[9:12])
        height, right, down, step = numbers[[12, 22, 23, 24]].tolist()
        rotation = numbers[13:22].reshape(3, 3)
        return cls(arrays["grey"], arrays["ground"], pose, height, rotation, (right, down), step)

    @cached_property
    def levels(self) -> tuple[tuple[F32, F32], ...]:
        """Normalised contrast and ground at each scale, [h, w] each, the finest first.

        Normalised contrast is brightness minus the mean of its surroundings, divided by their standard deviation. So
        shade, exposure and vignetting have no effect.
        """
        levels = []
        grey, ground = _masked(cv2.GaussianBlur, self.grey, self.ground, (0, 0), 0.8), self.ground
        for level in range(LEVELS):
            if level:
                size = (max(1, grey.shape[1] // 2), max(1, grey.shape[0] // 2))
                grey = _masked(cv2.resize, grey, ground, size, interpolation=cv2.INTER_AREA)
                ground = (cv2.resize(ground, size, interpolation=cv2.INTER_AREA) > 0.99).astype(np.float32)
            levels.append((_normalised_contrast(grey, ground, _NOISE / 2**level), ground))
        return tuple(levels)


def view_ground(
    grey: NDArray[np.uint8],
    ground: NDArray[np.bool_],
    camera: Camera,
    odom_from_footprint: Transform,
    footprint_from_optical: Transform,
) -> GroundView | None:
    """Resample the ground of an image for a level camera.

    Args:
        grey: uint8 [H, W], the image.
        ground: bool [H, W], where it shows ground.
        camera: of that size.
        odom_from_footprint: pose of the robot on the ground.
        footprint_from_optical: pose of the camera over it, by the nominal extrinsics.

    Returns:
        The view; None where hardly any ground is in view.
    """
    ahead = footprint_from_optical.rotation[:, 2]
    x, y, height = footprint_from_optical.translation.tolist()
    footprint_from_level = Transform.from_xyz_rpy(x, y, height, 0.0, 0.0, math.atan2(ahead[1], ahead[0]))
    level_from_optical = footprint_from_level.rotation.T @ footprint_from_optical.rotation
    focal = float(camera.matrix[0, 0])
    aside = min(_STEEPEST, camera.width / (2 * focal))
    step = max(1 / focal, 2 * aside / _MOST_COLUMNS)
    right = np.arange(-aside, aside, step)
    down = np.arange(1 / _FURTHEST, _steepest_in_view(camera, level_from_optical), step)
    if down.size < 2**LEVELS:
        return None
    rays = np.stack(np.broadcast_arrays(1.0, -right, -down[:, np.newaxis]), axis=-1)
    pixels, inside = camera.project(rays @ level_from_optical)
    at = np.moveaxis(pixels.astype(np.float32), -1, 0)
    shown = cv2.remap(ground.astype(np.uint8), at[0], at[1], cv2.INTER_NEAREST)
    # Pixels at the edge of the ground may belong to what stands on it.
    mask = cv2.erode(shown * inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    brightness = cv2.remap(grey, at[0], at[1], cv2.INTER_LINEAR).astype(np.float32)
    first = float(right[0]), float(down[0])
    return GroundView(
        brightness, mask, odom_from_footprint @ footprint_from_level, height, level_from_optical, first, step
    )


def _steepest_in_view(camera: Camera, level_from_optical: NDArray[np.float64]) -> float:
    """Slope of the steepest line of sight along the bottom of the image, at most _STEEPEST."""
    u = np.linspace(0, camera.width - 1, 9)
    rays, valid = camera.rays(np.stack([u, np.full(9, camera.height - 1.0)], axis=-1))
    x, _, z = (rays[valid] @ level_from_optical.T).T
    with np.errstate(divide="ignore"):
        slopes = np.where(x > 0, -z / np.maximum(x, 1e-6), _STEEPEST)
    return float(np.clip(slopes, 0.0, _STEEPEST).max(initial=0.0))


def _masked(filter_: Any, values: F32, mask: F32, *arguments: Any, **options: Any) -> F32:
    """A linear filter over the unmasked values alone; 0 where there are none."""
    total = filter_(values * mask, *arguments, **options)
    share = filter_(mask, *arguments, **options)
    return np.asarray(total / np.maximum(share, 1e-3), np.float32)


def _normalised_contrast(grey: F32, ground: F32, noise: float) -> F32:
    window = (_WINDOW, _WINDOW)
    residual = grey - _masked(cv2.blur, grey, ground, window)
    deviation = np.sqrt(_masked(cv2.blur, residual * residual, ground, window) + noise**2)
    contrast: F32 = residual / deviation * ground
    return contrast
