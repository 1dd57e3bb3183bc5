"""Points that a sensor measured, brought into the image that says what they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.flat_ground.sampling import normalised_cells


@dataclass(frozen=True, eq=False)
class MeasuredPoints:
    """N points in view of the camera.

    Attributes:
        xyz: float32 [N, 3], in the footprint frame, m; each coordinate contiguous, as what reads them wants it.
        cells: float32 [N, 2], where they are in the image, -1..1 as `normalised_cells` has it.
        has_class: bool [N], False where the camera sees something else there, something nearer.
        origin: float64 [3], the sensor's place in the footprint frame when it measured, m.
        facing: the way the camera looks, rad against the footprint's x axis.
        error: float32 [N], standard deviation of their distances, m.
    """

    xyz: NDArray[np.float32]
    cells: NDArray[np.float32]
    has_class: NDArray[np.bool_]
    origin: NDArray[np.float64]
    facing: float
    error: NDArray[np.float32]


def facing_of(footprint_from_optical: Transform) -> float:
    """The way a camera looks over the ground, rad: its optical axis, or its top edge where it looks straight down."""
    axis, down = footprint_from_optical.rotation[:2, 2], footprint_from_optical.rotation[:2, 1]
    x, y = axis if np.hypot(*axis) > 1e-3 else -down
    return float(np.arctan2(y, x))


def seen_from(
    xyz: NDArray[np.floating], camera: Camera, optical_from_footprint: Transform
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where points in the footprint frame are in the image, as `cells` [N, 2], and whether they are in it, bool [N]."""
    pixels, inside = camera.project(optical_from_footprint.apply(xyz))
    return normalised_cells(pixels, camera.width, camera.height), inside
