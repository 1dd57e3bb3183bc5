"""Points that a depth sensor measured, in the footprint frame and in the camera's image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.sample_points import to_sample_points


@dataclass(frozen=True, eq=False)
class MeasuredPoints:
    """N points in the field of view of the camera.

    Attributes:
        xyz: float32 [N, 3], in the footprint frame, m; each coordinate contiguous, for the code that reads them.
        sample_points: float32 [N, 2], where they are in the image, -1..1 (see `to_sample_points`).
        has_class: bool [N], False where something nearer hides the point from the camera.
        origin: float64 [3], position of the sensor in the footprint frame when it measured, m.
        heading: direction of the camera's view over the ground, rad against the footprint's x axis.
        error: float32 [N], standard deviation of their distances, m.
    """

    xyz: NDArray[np.float32]
    sample_points: NDArray[np.float32]
    has_class: NDArray[np.bool_]
    origin: NDArray[np.float64]
    heading: float
    error: NDArray[np.float32]


def heading_of(footprint_from_optical: Transform) -> float:
    """Heading of a camera, rad: its optical axis, or its top edge where it looks straight down."""
    axis, down = footprint_from_optical.rotation[:2, 2], footprint_from_optical.rotation[:2, 1]
    x, y = axis if np.hypot(*axis) > 1e-3 else -down
    return float(np.arctan2(y, x))


def project_points(
    xyz: NDArray[np.floating], camera: Camera, optical_from_footprint: Transform
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Points [N, 3] of the footprint frame as sample points [N, 2], and whether each is in the image, bool [N]."""
    pixels, inside = camera.project(optical_from_footprint.apply(xyz))
    return to_sample_points(pixels, camera.width, camera.height), inside
