"""A depth image as points in the camera's image.

The depth image is aligned with the camera's image: both have the same field of view; their sizes may differ.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.range.measured_points import MeasuredPoints, heading_of, project_points
from seg_perception.projection.sample_points import to_sample_points
from seg_perception.settings.projection import ProjectionSettings

# With a larger step along a row, a pole of 10 cm at 8 m could fall between two pixels.
_WIDEST_STEP = 4

# A pixel whose depth lies between those of its neighbours, and differs from both by more than this share, is dropped:
# the sensor has mixed foreground and background. Along a column of ground, neighbours differ by r / (h f) of the range.
_MIXED = 0.1


def depth_points(
    metres: NDArray[np.float32],
    camera: Camera,
    footprint_from_optical: Transform,
    footprint_from_image: Transform | None,
    settings: ProjectionSettings,
) -> MeasuredPoints:
    """The pixels with a depth, as points.

    Columns are thinned out first, and each row starts at another column. Rows are kept as long as possible, because the
    range of the ground changes fastest along a column. So a thin upright object is hit in some row.

    Args:
        metres: float32 [H, W], z in the optical frame; 0, negative or not finite where nothing was measured.
        camera: of this size.
        footprint_from_optical: pose of the camera when the depth was measured.
        footprint_from_image: its pose when the image was taken; None where both have the same stamp.
        settings: max_points and depth_error.

    Returns:
        MeasuredPoints, at most settings.max_points of them.
    """
    across = min(_WIDEST_STEP, math.ceil(metres.size / settings.max_points))
    down = math.ceil(metres.size / (across * settings.max_points))
    index, rays, sample_points = _lattice(camera, across, down)
    depth = metres.ravel()[index]
    with np.errstate(invalid="ignore"):
        usable = np.flatnonzero(np.isfinite(depth) & (depth > 0) & ~_mixed(metres, index, depth))
    depth, sample_points = depth[usable], sample_points[usable]
    # Not by BLAS: a product this small gains nothing from its threads, and on a busy machine they wait for each other.
    xyz = np.einsum("ij,jn->in", footprint_from_optical.rotation.astype(np.float32), rays).take(usable, axis=1)
    xyz *= depth
    xyz += footprint_from_optical.translation.astype(np.float32)[:, np.newaxis]
    visible = np.ones(depth.size, np.bool_)
    if footprint_from_image is not None:
        sample_points, inside = project_points(xyz.T, camera, footprint_from_image.inverse())
        xyz, sample_points = xyz[:, inside], sample_points[inside]
        depth, visible = depth[inside], visible[inside]
    return MeasuredPoints(
        xyz=xyz.T,
        sample_points=sample_points,
        has_class=visible,
        origin=footprint_from_optical.translation,
        heading=heading_of(footprint_from_image or footprint_from_optical),
        error=np.float32(settings.depth_error) * depth * depth,
    )


def _mixed(metres: NDArray[np.float32], index: NDArray[np.intp], depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels [M] that lie between a near and a far neighbour, far from both."""
    flat, mixed = metres.ravel(), np.zeros(depth.size, np.bool_)
    for stride in (1, metres.shape[1]):
        one = depth - flat[index - stride]
        other = flat[index + stride] - depth
        mixed |= (np.minimum(np.abs(one), np.abs(other)) > np.float32(_MIXED) * depth) & ((one > 0) == (other > 0))
    return mixed


@lru_cache(maxsize=4)
def _lattice(
    camera: Camera, across: int, down: int
) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]:
    """The pixels that are read: index in the flat image [M], ray with z = 1 [3, M], sample point [M, 2].

    The outermost pixels are left out, since they lack neighbours, and so are those that the lens maps to no ray ahead.
    """
    v, u = np.mgrid[1 : camera.height - 1, 1 : camera.width - 1]
    selected = (v % down == 0) & ((u + v // down) % across == 0)
    pixels = np.stack([u[selected], v[selected]], axis=-1).astype(np.float64)
    rays, valid = camera.rays(pixels)
    valid &= rays[:, 2] > 0
    pixels, rays = pixels[valid], rays[valid]
    index = (pixels[:, 1] * camera.width + pixels[:, 0]).astype(np.intp)
    sample_points = to_sample_points(pixels, camera.width, camera.height)
    return index, np.ascontiguousarray((rays / rays[:, 2:]).T, np.float32), sample_points
