"""A point cloud as points in the image of a camera that looks from another position."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.flat_ground.sampling import widest_view
from seg_perception.projection.range.measured_points import MeasuredPoints, heading_of, project_points
from seg_perception.settings.projection import ProjectionSettings

# Side of the image patches in which a nearer point hides those behind it, as a share of the image's width. It is wider
# than the gap between the beams of common sensors, so that a surface hit by few of them still hides.
_PATCH = 1 / 64
# A point this many times as far away as the nearest of its patch is behind it, and not on the same slanting surface.
_BEHIND = 1.25


def cloud_points(
    xyz: NDArray[np.floating],
    footprint_from_sensor: Transform,
    camera: Camera,
    footprint_from_optical: Transform,
    settings: ProjectionSettings,
) -> MeasuredPoints:
    """The points that lie in the image.

    A sensor next to the camera sees points that are hidden from the camera. They keep their position and have no class.

    Args:
        xyz: [N, 3] in the sensor's frame, m; points that are not finite are left out.
        footprint_from_sensor: pose of the sensor when it measured.
        camera: at the image's size.
        footprint_from_optical: pose of the camera when the image was taken.
        settings: points_error.

    Returns:
        MeasuredPoints.
    """
    optical_from_sensor = footprint_from_optical.inverse() @ footprint_from_sensor
    ahead = np.flatnonzero(_may_be_visible(np.asarray(xyz, np.float32), optical_from_sensor, camera))
    moved = footprint_from_sensor.apply(xyz[ahead])
    sample_points, inside = project_points(moved, camera, footprint_from_optical.inverse())
    moved, sample_points = moved[inside], sample_points[inside]
    distance = np.linalg.norm(moved - footprint_from_optical.translation, axis=1)
    return MeasuredPoints(
        xyz=np.asfortranarray(moved, np.float32),
        sample_points=sample_points,
        has_class=distance <= _BEHIND * _nearest_of_patch(sample_points, distance),
        origin=footprint_from_sensor.translation,
        heading=heading_of(footprint_from_optical),
        error=np.full(len(moved), settings.points_error, np.float32),
    )


def _may_be_visible(xyz: NDArray[np.float32], optical_from_sensor: Transform, camera: Camera) -> NDArray[np.bool_]:
    """Which points were measured and lie in the cone around the field of view: bool [N], few of a full turn.

    Where nothing came back, some drivers write the origin.
    """
    rotation, translation = (
        part.astype(np.float32) for part in (optical_from_sensor.rotation, optical_from_sensor.translation)
    )
    with np.errstate(invalid="ignore", over="ignore"):
        measured = np.einsum("ij,ij->i", xyz, xyz)
        # Not by BLAS, as in `depth_points`.
        x, y, z = np.einsum("ij,nj->in", rotation, xyz) + translation[:, np.newaxis]
        ahead = z >= np.float32(widest_view(camera)) * np.sqrt(x * x + y * y + z * z)
    visible: NDArray[np.bool_] = ahead & np.isfinite(measured) & (measured > 0)
    return visible


def _nearest_of_patch(sample_points: NDArray[np.float32], distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance [N] of the nearest point in each point's patch of the image."""
    column, row = np.floor((sample_points + 1) / (2 * _PATCH)).astype(np.intp).T
    patch = row * (int(1 / _PATCH) + 1) + column
    order = np.lexsort((distance, patch))
    first = np.flatnonzero(np.diff(patch[order], prepend=-1))
    nearest = np.empty_like(distance)
    nearest[order] = np.repeat(distance[order[first]], np.diff(first, append=order.size))
    return nearest
