"""The ground as one image shows it, seen anew by a level camera at the same place.

What two such views show of the same flat ground differs by the robot's motion alone, if the camera's attitude is known;
`ground_fit` turns that round.
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
"""Scales that a view is compared at; each is half as fine as the one before."""

_MOST_COLUMNS = 240  # of a view; more would cost time, and a tenth of a pixel is fine enough
_STEEPEST = 1.0  # slope of the lines of sight at the edges of a view: 45° aside and downwards
_FURTHEST = 12.0  # ground in view, in heights of the camera
_WINDOW = 15  # pixels, over which contrast is made even
_NOISE = 1.5  # grey levels; contrast well below this is taken for noise


@dataclass(frozen=True, eq=False)
class GroundView:
    """The ground from a level camera: x where the real one looks to, y left, z up.

    Column c and row r look along (1, -right, -down) with right = right_0 + c · step and down = down_0 + r · step.

    Attributes:
        grey: float32 [h, w], brightness.
        ground: float32 [h, w], 1 where it is ground that the image shows, else 0.
        odom_from_level: pose of the level camera.
        height: of the camera over the ground, m.
        level_from_optical: float64 [3, 3], how the real camera is turned against it, as the robot was told.
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
        """Everything but the levels, as arrays that np.savez keeps exactly."""
        pose, turned = self.odom_from_level, self.level_from_optical
        numbers = [*pose.rotation.flat, *pose.translation, self.height, *turned.flat, *self.first, self.step]
        return {"grey": self.grey, "ground": self.ground, "numbers": np.array(numbers)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> GroundView:
        """What `to_arrays` described."""
        numbers = arrays["numbers"]
        pose = Transform(numbers[:9].reshape(3, 3), numbers[9:12])
        height, right, down, step = numbers[[12, 22, 23, 24]].tolist()
        turned = numbers[13:22].reshape(3, 3)
        return cls(arrays["grey"], arrays["ground"], pose, height, turned, (right, down), step)

    @cached_property
    def levels(self) -> tuple[tuple[F32, F32], ...]:
        """Even contrast and ground at each scale, [h, w] each, the finest first.

        Even contrast is what is left of brightness without the mean of the surroundings and divided by their standard
        deviation, so that shade, exposure and vignetting do not count.
        """
        levels = []
        grey, ground = _masked(cv2.GaussianBlur, self.grey, self.ground, (0, 0), 0.8), self.ground
        for level in range(LEVELS):
            if level:
                size = (max(1, grey.shape[1] // 2), max(1, grey.shape[0] // 2))
                grey = _masked(cv2.resize, grey, ground, size, interpolation=cv2.INTER_AREA)
                ground = (cv2.resize(ground, size, interpolation=cv2.INTER_AREA) > 0.99).astype(np.float32)
            levels.append((_even_contrast(grey, ground, _NOISE / 2**level), ground))
        return tuple(levels)


def view_ground(
    grey: NDArray[np.uint8],
    ground: NDArray[np.bool_],
    camera: Camera,
    odom_from_footprint: Transform,
    footprint_from_optical: Transform,
) -> GroundView | None:
    """See the ground of an image from a level camera.

    Args:
        grey: uint8 [H, W], the image.
        ground: bool [H, W], where it shows ground.
        camera: of that size.
        odom_from_footprint: pose of the robot on the ground.
        footprint_from_optical: pose of the camera against it, as the robot was told.

    Returns:
        None where hardly any ground is in view.
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
    seen = cv2.remap(ground.astype(np.uint8), at[0], at[1], cv2.INTER_NEAREST)
    # The edge of what is ground is the foot of something else.
    mask = cv2.erode(seen * inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    brightness = cv2.remap(grey, at[0], at[1], cv2.INTER_LINEAR).astype(np.float32)
    first = float(right[0]), float(down[0])
    return GroundView(
        brightness, mask, odom_from_footprint @ footprint_from_level, height, level_from_optical, first, step
    )


def _steepest_in_view(camera: Camera, level_from_optical: NDArray[np.float64]) -> float:
    """The slope of the steepest line of sight along the bottom of the image, up to that at the edge of a view."""
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


def _even_contrast(grey: F32, ground: F32, noise: float) -> F32:
    window = (_WINDOW, _WINDOW)
    away = grey - _masked(cv2.blur, grey, ground, window)
    deviation = np.sqrt(_masked(cv2.blur, away * away, ground, window) + noise**2)
    even: F32 = away / deviation * ground
    return even
