"""Where the ground lies in the image, how far along each line of sight it is seen, and how sharply.

Samples lie on bearings x ranges around the camera's foot point, its place projected onto the ground: along a bearing,
what stands nearer hides what lies further, so visibility is one pass outwards. Ground is the plane z = 0 of the
footprint frame. Only what touches the ground is placed rightly: a branch overhead marks the ground that it hides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ConfigError, GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.flat_ground import kernels

# Pixels along each side of the image that are asked which way they look.
_LATTICE = 48

MOST_PITCH_ERROR = 0.1
"""rad. Of a camera that is further off, the mount is wrong, not inexact."""


@dataclass(frozen=True)
class GroundSettings:
    """How the ground is sampled. The number of samples depends on nothing else, so a network is built for it once.

    Attributes:
        resolution: edge of the grid's cells, m; also the step between ranges.
        min_range: nearest sample, m from the camera's foot point.
        max_range: furthest sample, m.
        max_samples: upper limit of bearings times ranges.
        attitude_error: standard deviation of the camera's pitch, roll and yaw against the ground, rad: calibration,
            suspension and the slope of the ground together.
        standing_threshold: probability of standing classes from which a sample blocks the view.
        standing_depth: how far behind its first sample a standing thing is marked, m.
        max_pitch_error: largest error of the camera's pitch and roll that is told from how the ground moves, and
            corrected, rad; 0 does not look.
    """

    resolution: float = 0.1
    min_range: float = 0.5
    max_range: float = 10.0
    max_samples: int = 4_000
    attitude_error: float = 0.005
    standing_threshold: float = 0.5
    standing_depth: float = 0.4
    max_pitch_error: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that give no samples.

        Raises:
            ConfigError: a value is out of its range.
        """
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        max_pitch_error = numbers.pop("max_pitch_error")
        if not 0.0 <= max_pitch_error <= MOST_PITCH_ERROR:
            raise ConfigError(
                f"ground.max_pitch_error is {max_pitch_error}; give 0 to {MOST_PITCH_ERROR} rad, and mend the mount if "
                "it is further off."
            )
        for name, value in numbers.items():
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"ground.{name} is {value}; give a finite number above 0.")
        if self.max_range < self.min_range + self.resolution:
            raise ConfigError(
                f"ground.max_range is {self.max_range} m; give more than min_range, {self.min_range} m, plus one cell."
            )
        if self.standing_threshold > 1:
            raise ConfigError(f"ground.standing_threshold is {self.standing_threshold}; give a probability up to 1.")
        if self.bearing_count < 2:
            raise ConfigError(
                f"ground.max_samples is {self.max_samples}; give at least {2 * self.ranges.size}, for two bearings."
            )

    @property
    def ranges(self) -> NDArray[np.float64]:
        """Distances of the samples from the camera's foot point, float64 [R], m."""
        count = math.floor((self.max_range - self.min_range) / self.resolution + 1e-9) + 1
        return self.min_range + self.resolution * np.arange(count, dtype=np.float64)

    @property
    def bearing_count(self) -> int:
        """B, the number of bearings; they spread evenly over what the camera sees."""
        return self.max_samples // self.ranges.size


class PolarPlaces(Protocol):
    """Places on bearings x ranges around a foot point, as far as it takes to find the one next to a point."""

    @property
    def points(self) -> NDArray[np.float64]:
        """(x, y) in the footprint frame, [B, R, 2], m."""

    @property
    def foot(self) -> NDArray[np.float64]:
        """The point that they lie around, [2], in the footprint frame, m."""

    @property
    def bearings(self) -> NDArray[np.float64]:
        """Directions from it against the footprint's x axis, [B], evenly spaced, rad."""

    @property
    def ranges(self) -> NDArray[np.float64]:
        """Distances from it, [R], evenly spaced, m."""


@dataclass(frozen=True, eq=False)
class GroundSamples:
    """Where the ground is sampled for one pose of the camera.

    Attributes:
        points: float64 [B, R, 2], (x, y) in the footprint frame, m.
        pixels: float64 [B, R, 2], (u, v) in the image; finite outside of it too.
        in_image: bool [B, R].
        weight: float32 [B, R], 0..1, how likely a sample lies in the cell it is booked into.
        foot: float64 [2], the camera's foot point in the footprint frame, m.
        bearings: float64 [B], directions from the foot point against the footprint's x axis, evenly spaced, rad.
        ranges: float64 [R], distances from the foot point, evenly spaced, m.
    """

    points: NDArray[np.float64]
    pixels: NDArray[np.float64]
    in_image: NDArray[np.bool_]
    weight: NDArray[np.float32]
    foot: NDArray[np.float64]
    bearings: NDArray[np.float64]
    ranges: NDArray[np.float64]


def sample_ground(camera: Camera, footprint_from_optical: Transform, settings: GroundSettings) -> GroundSamples:
    """Spread the samples over the part of the ground that the camera sees.

    Args:
        camera: at the size of the image that is sampled: its pixels limit the sharpness.
        footprint_from_optical: pose of the camera against the ground.
        settings: ranges, number of samples, errors.

    Returns:
        GroundSamples, always settings.bearing_count x settings.ranges.size of them.

    Raises:
        GeometryError: the camera is not above the ground, or sees none of it within range.
    """
    height = float(footprint_from_optical.translation[2])
    if height <= 0:
        raise GeometryError(f"the camera is {height:g} m above the ground; give its mount a z above 0.")
    foot, ranges = footprint_from_optical.translation[:2].copy(), settings.ranges
    first, last = _bearing_limits(camera, footprint_from_optical, settings)
    count = settings.bearing_count
    bearings = first + (last - first) * (np.arange(count) + 0.5) / count
    directions = np.stack([np.cos(bearings), np.sin(bearings)], axis=-1)
    outwards = directions[:, np.newaxis] * ranges[:, np.newaxis]
    optical_from_footprint = footprint_from_optical.inverse()
    foot_in_optical = optical_from_footprint.apply(np.array([*foot, 0.0]))
    pixels, in_image = camera.project(foot_in_optical + outwards @ optical_from_footprint.rotation[:, :2].T)
    if not in_image.any():
        raise _no_ground_in_view(footprint_from_optical, settings)
    weight = np.broadcast_to(_sharpness(camera, height, settings), in_image.shape).astype(np.float32)
    return GroundSamples(foot + outwards, pixels, in_image, weight, foot, bearings, ranges)


def visibility(
    probabilities: NDArray[np.float32],
    standing: NDArray[np.bool_],
    in_image: NDArray[np.bool_],
    ranges: NDArray[np.float64],
    settings: GroundSettings,
) -> NDArray[np.float32]:
    """How much each sample is really seen, walking outwards along each bearing.

    The first sample whose standing probability reaches the threshold is where something stands: it is marked there and
    over the standing samples of the next `standing_depth`, and nothing further out is seen. Up to there a sample
    counts 1 - q, with q the largest standing probability of the nearer ones: the chance that its line of sight is
    free, if the doubts along a bearing are about one and the same thing. (Taking them as independent, the product of
    all 1 - q, would make the weight depend on how densely the bearing is sampled.) Sight begins at the first sample
    inside the image and ends where it leaves it again.

    Args:
        probabilities: float32 [B, R, K], per class, nearest range first; outside of the image they may be anything.
        standing: bool [K], the classes that hide what lies behind them.
        in_image: bool [B, R].
        ranges: float64 [R], m, ascending.
        settings: standing_threshold and standing_depth.

    Returns:
        float32 [B, R], 0 (not seen) to 1 (clear sight).
    """
    seen = np.empty(in_image.shape, np.float32)
    threshold, depth = settings.standing_threshold, settings.standing_depth
    kernels.see(probabilities, standing, in_image, ranges, threshold, depth, seen)
    return seen


@lru_cache(maxsize=8)
def widest_view(camera: Camera) -> float:
    """Cosine of the widest angle between the optical axis and what the camera sees, with a hundredth to spare."""
    return float(_lattice_rays(camera)[:, 2].min()) - 0.01


def normalised_cells(pixels: NDArray[np.float64], width: int, height: int) -> NDArray[np.float32]:
    """Pixels as the network's `cells` input wants them: [-1, 1] from edge to edge (grid_sample, align_corners=False).

    Args:
        pixels: [..., 2] (u, v), pixel centres at whole numbers.
        width: of the image, pixels.
        height: of the image, pixels.

    Returns:
        float32 [..., 2], ((2u + 1) / width - 1, (2v + 1) / height - 1).
    """
    cells: NDArray[np.float32] = ((2 * pixels + 1) / np.array([width, height]) - 1).astype(np.float32)
    return cells


def _sharpness(camera: Camera, height: float, settings: GroundSettings) -> NDArray[np.float64]:
    """The probability, [R], that a sample lies in the cell it is booked into.

    From height h, ground at range r is seen at the depression angle φ = atan(h / r), and dr/dφ = -(r² + h²) / h. An
    angular error of standard deviation σ so moves it by (r² + h²) / h · σ along the bearing and, across, by its
    distance √(r² + h²) times σ. Here σ joins the attitude error with that of a pixel, 1 / (√12 f): uniform over its
    width. A normal error of deviation s stays within half a cell a/2 with probability erf(a / (2√2 s)).
    """
    distance = np.hypot(settings.ranges, height)
    probability = np.ones_like(distance)
    for spread, focal in ((distance**2 / height, camera.matrix[1, 1]), (distance, camera.matrix[0, 0])):
        sigma = spread * math.hypot(settings.attitude_error, 1 / (math.sqrt(12) * focal))
        probability *= [math.erf(value) for value in settings.resolution / (2 * math.sqrt(2) * sigma)]
    return probability


def _bearing_limits(camera: Camera, footprint_from_optical: Transform, settings: GroundSettings) -> tuple[float, float]:
    """The bearings, rad, between which pixels look at ground within range: all but the widest gap between them."""
    rays = _lattice_rays(camera) @ footprint_from_optical.rotation.T
    level = np.hypot(rays[:, 0], rays[:, 1]) * footprint_from_optical.translation[2]
    within = (-rays[:, 2] * settings.max_range >= level) & (-rays[:, 2] * settings.min_range <= level)
    if np.count_nonzero(within) < 2:
        raise _no_ground_in_view(footprint_from_optical, settings)
    bearings = np.sort(np.arctan2(rays[within, 1], rays[within, 0]))
    gaps = np.diff(bearings, append=bearings[0] + 2 * np.pi)
    widest = int(np.argmax(gaps))
    if gaps[widest] < 2 * np.pi / _LATTICE:
        return -np.pi, np.pi
    last = float(bearings[widest])
    return last + float(gaps[widest]) - 2 * np.pi, last


@lru_cache(maxsize=8)
def _lattice_rays(camera: Camera) -> NDArray[np.float64]:
    """Rays [N, 3] of a lattice of pixels from edge to edge, as far as the lens sees them."""
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
        "check the mount (a positive pitch looks down) and the ranges."
    )
