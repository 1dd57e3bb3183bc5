"""A point cloud as points in the image of a camera that looks from elsewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.flat_ground.sampling import widest_view
from seg_perception.projection.range.measured_points import MeasuredPoints, facing_of, seen_from
from seg_perception.settings.projection import ProjectionSettings

# Side of the image patches in which a nearer point hides those behind it, as a share of the image's width: wider than
# the gap between the beams of common sensors, so that a surface seen by few of them still hides.
_PATCH = 1 / 64
# So much further away than the nearest of its patch, a point is behind it and not on the same slanting surface.
_BEHIND = 1.25


def cloud_points(
    xyz: NDArray[np.floating],
    footprint_from_sensor: Transform,
    camera: Camera,
    footprint_from_optical: Transform,
    settings: ProjectionSettings,
) -> MeasuredPoints:
    """The points that lie in the image.

    A sensor beside the camera sees behind what the camera sees: such points keep their place and lose their class.

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
    ahead = np.flatnonzero(_may_be_seen(np.asarray(xyz, np.float32), optical_from_sensor, camera))
    moved = footprint_from_sensor.apply(xyz[ahead])
    cells, inside = seen_from(moved, camera, footprint_from_optical.inverse())
    moved, cells = moved[inside], cells[inside]
    distance = np.linalg.norm(moved - footprint_from_optical.translation, axis=1)
    return MeasuredPoints(
        xyz=np.asfortranarray(moved, np.float32),
        cells=cells,
        has_class=distance <= _BEHIND * _nearest_of_patch(cells, distance),
        origin=footprint_from_sensor.translation,
        facing=facing_of(footprint_from_optical),
        error=np.full(len(moved), settings.points_error, np.float32),
    )


def _may_be_seen(xyz: NDArray[np.float32], optical_from_sensor: Transform, camera: Camera) -> NDArray[np.bool_]:
    """Points [N] that were measured and lie in the cone around what the camera sees: of a full turn, the few that do.

    Drivers write the origin, too, where nothing came back.
    """
    rotation, translation = (
        part.astype(np.float32) for part in (optical_from_sensor.rotation, optical_from_sensor.translation)
    )
    with np.errstate(invalid="ignore", over="ignore"):
        measured = np.einsum("ij,ij->i", xyz, xyz)
        # Not by BLAS, as in `depth`.
        x, y, z = np.einsum("ij,nj->in", rotation, xyz) + translation[:, np.newaxis]
        ahead = z >= np.float32(widest_view(camera)) * np.sqrt(x * x + y * y + z * z)
    seen: NDArray[np.bool_] = ahead & np.isfinite(measured) & (measured > 0)
    return seen


def _nearest_of_patch(cells: NDArray[np.float32], distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance [N] of the nearest point in each point's patch of the image."""
    column, row = np.floor((cells + 1) / (2 * _PATCH)).astype(np.intp).T
    patch = row * (int(1 / _PATCH) + 1) + column
    order = np.lexsort((distance, patch))
    first = np.flatnonzero(np.diff(patch[order], prepend=-1))
    nearest = np.empty_like(distance)
    nearest[order] = np.repeat(distance[order[first]], np.diff(first, append=order.size))
    return nearest
