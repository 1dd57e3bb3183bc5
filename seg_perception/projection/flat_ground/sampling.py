"""Ground samples: where the ground lies in the image, and how exactly each sample is located.

Samples lie on bearings x ranges around the camera's nadir point, the point on the ground straight below it. Along a
bearing a nearer obstacle hides what lies further out, so visibility takes one outward pass. The ground is the plane
z = 0 of the footprint frame. Only what touches the ground is located correctly: a branch overhead marks the ground that
it hides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.settings.ground import GroundSettings

# Pixels along each side of the image whose rays are computed to find the field of view.
_LATTICE = 48


@dataclass(frozen=True, eq=False)
class GroundSamples:
    """Where the ground is sampled for one pose of the camera: a `PolarGrid` of B bearings x R ranges.

    Attributes:
        points: float64 [B, R, 2], (x, y) in the footprint frame, m.
        pixels: float64 [B, R, 2], (u, v) in the image; finite outside of it too.
        in_image: bool [B, R].
        weight: float32 [B, R], 0..1, the probability that a sample lies in the cell it is assigned to.
        nadir: float64 [2], the camera's nadir point in the footprint frame, m.
        bearings: float64 [B], directions from the nadir point against the footprint's x axis, evenly spaced, rad.
        ranges: float64 [R], distances from the nadir point, evenly spaced, m.
    """

    points: NDArray[np.float64]
    pixels: NDArray[np.float64]
    in_image: NDArray[np.bool_]
    weight: NDArray[np.float32]
    nadir: NDArray[np.float64]
    bearings: NDArray[np.float64]
    ranges: NDArray[np.float64]


def sample_ground(camera: Camera, footprint_from_optical: Transform, settings: GroundSettings) -> GroundSamples:
    """Spread the samples over the part of the ground that the camera sees.

    Args:
        camera: at the size of the sampled image; the size of a pixel limits how exactly a sample is located.
        footprint_from_optical: pose of the camera over the ground.
        settings: ranges, number of samples, errors.

    Returns:
        GroundSamples, always settings.bearing_count x settings.ranges.size of them.

    Raises:
        GeometryError: the camera is not above the ground, or sees no ground within range.
    """
    height = float(footprint_from_optical.translation[2])
    if height <= 0:
        raise GeometryError(f"the camera is {height:g} m above the ground; its extrinsics (mount) need a z above 0.")
    nadir, ranges = footprint_from_optical.translation[:2].copy(), settings.ranges
    first, last = _bearing_limits(camera, footprint_from_optical, settings)
    count = settings.bearing_count
    bearings = first + (last - first) * (np.arange(count) + 0.5) / count
    directions = np.stack([np.cos(bearings), np.sin(bearings)], axis=-1)
    outwards = directions[:, np.newaxis] * ranges[:, np.newaxis]
    optical_from_footprint = footprint_from_optical.inverse()
    nadir_in_optical = optical_from_footprint.apply(np.array([*nadir, 0.0]))
    pixels, in_image = camera.project(nadir_in_optical + outwards @ optical_from_footprint.rotation[:, :2].T)
    if not in_image.any():
        raise _no_ground_in_view(footprint_from_optical, settings)
    weight = np.broadcast_to(_in_cell_probability(camera, height, settings), in_image.shape).astype(np.float32)
    return GroundSamples(nadir + outwards, pixels, in_image, weight, nadir, bearings, ranges)


@lru_cache(maxsize=8)
def widest_view(camera: Camera) -> float:
    """Cosine of the largest angle between the optical axis and a ray of the camera, less a margin of 0.01."""
    return float(_lattice_rays(camera)[:, 2].min()) - 0.01


def _in_cell_probability(camera: Camera, height: float, settings: GroundSettings) -> NDArray[np.float64]:
    """The probability, [R], that a sample lies in the cell it is assigned to.

    From height h, ground at range r is seen at the depression angle φ = atan(h / r), with dr/dφ = -(r² + h²) / h. So an
    angular error of standard deviation σ moves a sample by (r² + h²) / h · σ along the bearing. Across the bearing it
    moves it by the distance √(r² + h²) times σ. Here σ combines the attitude error with that of a pixel,
    1 / (√12 f): uniform over its width. A normal error of deviation s stays within half a cell a/2 with probability
    erf(a / (2√2 s)).
    """
    distance = np.hypot(settings.ranges, height)
    probability = np.ones_like(distance)
    for spread, focal in ((distance**2 / height, camera.matrix[1, 1]), (distance, camera.matrix[0, 0])):
        sigma = spread * math.hypot(settings.attitude_error, 1 / (math.sqrt(12) * focal))
        probability *= [math.erf(value) for value in settings.resolution / (2 * math.sqrt(2) * sigma)]
    return probability


def _bearing_limits(camera: Camera, footprint_from_optical: Transform, settings: GroundSettings) -> tuple[float, float]:
    """The bearings, rad, between which pixels show ground within range: all but the widest gap between them."""
    rays = _lattice_rays(camera) @ footprint_from_optical.rotation.T
    level = np.hypot(rays[:, 0], rays[:, 1]) * footprint_from_optical.translation[2]
    in_range = (-rays[:, 2] * settings.max_range >= level) & (-rays[:, 2] * settings.min_range <= level)
    if np.count_nonzero(in_range) < 2:
        raise _no_ground_in_view(footprint_from_optical, settings)
    bearings = np.sort(np.arctan2(rays[in_range, 1], rays[in_range, 0]))
    gaps = np.diff(bearings, append=bearings[0] + 2 * np.pi)
    widest = int(np.argmax(gaps))
    if gaps[widest] < 2 * np.pi / _LATTICE:
        return -np.pi, np.pi
    last = float(bearings[widest])
    return last + float(gaps[widest]) - 2 * np.pi, last


@lru_cache(maxsize=8)
def _lattice_rays(camera: Camera) -> NDArray[np.float64]:
    """Rays [N, 3] of a lattice of pixels from edge to edge, without those that the lens cannot map."""
    u = np.linspace(-0.5, camera.width - 0.5, _LATTICE)
    v = np.linspace(-0.5, camera.height - 0.5, _LATTICE)
    rays, valid = camera.rays(np.stack(np.meshgrid(u, v), axis=-1))
    return rays[valid]


def _no_ground_in_view(footprint_from_optical: Transform, settings: GroundSettings) -> GeometryError:
    x, y, z = footprint_from_optical.rotation[:, 2]
    down = math.degrees(math.atan2(-z, math.hypot(x, y)))
    return GeometryError(
        f"no ground between {settings.min_range:g} and {settings.max_range:g} m is in the image of a camera "
        f"{footprint_from_optical.translation[2]:g} m above it that looks {down:.1f} degrees down; "
        "check the extrinsics (mount; a positive pitch looks down) and the ranges."
    )
