"""Terrain from measured points: ground, obstacle, hole or unseen, for each polar bin.

The polar bins lie on bearings x ranges around the sensor's nadir point. At the largest range they are no wider than a
cell of the grid. Each bin holds the points measured in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from seg_perception.projection.in_cell_probability import in_cell_probability
from seg_perception.projection.range.ground_heights import GroundHeights, estimate_ground
from seg_perception.projection.range.measured_points import MeasuredPoints
from seg_perception.projection.range.polar_bins import PolarBins, sort_into_bins
from seg_perception.settings.ground import GroundSettings
from seg_perception.settings.projection import ProjectionSettings


class TerrainKind(IntEnum):
    """What a polar bin shows."""

    UNSEEN = 0
    GROUND = 1
    OBSTACLE = 2
    HOLE = 3


@dataclass(frozen=True, eq=False)
class Terrain:
    """The classified polar bins of one measurement.

    Attributes:
        points: float64 [B, R, 2], centres (x, y) of the bins in the footprint frame, m.
        nadir: float64 [2], the sensor's nadir point, m.
        bearings: float64 [B], evenly spaced, rad.
        ranges: float64 [R], evenly spaced, m.
        kind: uint8 [B, R], see Kind.
        height: float32 [B, R], of the ground, found or expected, m.
        weight: float32 [B, R], 0..1, the probability that a measurement lies in the cell it is assigned to.
        member: intp [B, R], the measured point that stands for the ground or the obstacle; -1 elsewhere.
    """

    points: NDArray[np.float64]
    nadir: NDArray[np.float64]
    bearings: NDArray[np.float64]
    ranges: NDArray[np.float64]
    kind: NDArray[np.uint8]
    height: NDArray[np.float32]
    weight: NDArray[np.float32]
    member: NDArray[np.intp]


def classify_terrain(
    measured: MeasuredPoints, pixel_angle: float, ground: GroundSettings, settings: ProjectionSettings
) -> Terrain:
    """Classify the polar bins as ground, obstacle, hole or unseen.

    Let g be the height of the ground in a bin, found or expected, and s = max_step plus two standard deviations of a
    point's height. Points within s of g are ground. Points between g + s and g + robot_height are an obstacle. Points
    above that are overhead and are ignored. A line of sight that ends below g - s has passed through the ground's
    height: it crosses the bin where it does so and all bins from there to its end. Bins with more such lines than
    ground points are a hole, and so is the bin that holds its edge. An obstacle has precedence over ground, and a hole
    over both.

    Ground is visible in bins with ground points, and between two such bins of one bearing at most max_gap apart. The
    same holds for obstacles, since few lines of sight hit a surface almost as high as the sensor. Ground that is only
    visible under an obstacle, such as between the wheels of a car, counts as unseen: it is not known how far the
    obstacle reaches over it. Obstacles and holes need min_points in a bin and its neighbours. A bin with fewer obstacle
    points is unseen.

    Args:
        measured: points in the field of view of the camera.
        pixel_angle: angle between neighbouring pixels of the camera's image, rad.
        ground: resolution, ranges and attitude_error.
        settings: what counts as ground.

    Returns:
        Surface.
    """
    bins = sort_into_bins(measured, ground, settings)
    heights = estimate_ground(bins.lowest(), bins.ranges, settings)
    above = bins.z - heights.height.ravel()[bins.index]
    step = settings.max_step + _height_error(bins, measured)
    below, stands = above < -step, (above > step) & (above < settings.robot_height)
    count_below, count_ground, count_standing = (bins.count(mask) for mask in (below, np.abs(above) <= step, stands))
    sunk, standing = ((count > 0) & (_around(count) >= settings.min_points) for count in (count_below, count_standing))
    through = _rays_through(bins, heights, float(measured.origin[2]), below & sunk.ravel()[bins.index])
    hole = through > count_ground
    hole[:, :-1] |= (through[:, :-1] > 0) & hole[:, 1:]  # its edge: the bin also holds ground in front of the hole
    top = bins.height(count_below + count_ground + count_standing - 1)
    hidden = _under(np.where(standing, top, np.float32(np.nan)), bins, heights, float(measured.origin[2]), settings)
    flat = (count_ground > 0) & (count_standing == 0) & ~hidden
    is_obstacle, obstacle_source = _fill(standing, ~hole, ground.resolution, settings.max_gap)
    open_ = (count_standing == 0) & ~hole & ~hidden
    is_ground, ground_source = _fill(flat & ~hole, open_, ground.resolution, settings.max_gap)
    kind = np.select(
        [hole, is_obstacle, is_ground], [TerrainKind.HOLE, TerrainKind.OBSTACLE, TerrainKind.GROUND], TerrainKind.UNSEEN
    ).astype(np.uint8)

    # Within a bin, points are sorted by height: below the ground, ground, obstacle, overhead.
    middle = np.where(standing, count_below + count_ground + count_standing // 2, count_below + count_ground // 2)
    own = bins.member(middle)
    source = np.where(kind == TerrainKind.OBSTACLE, obstacle_source, ground_source)
    member = np.where((kind == TerrainKind.GROUND) | (kind == TerrainKind.OBSTACLE), own.ravel()[source], -1)
    class_is_seen = np.append(measured.has_class, False)[member]
    kind[(kind == TerrainKind.GROUND) & ~class_is_seen] = TerrainKind.UNSEEN
    weight = _weight(bins, heights, kind, measured, np.where(member >= 0, member, own), pixel_angle, ground)
    return Terrain(
        points=bins.centres(),
        nadir=measured.origin[:2],
        bearings=bins.bearings,
        ranges=bins.ranges,
        kind=kind,
        height=heights.height,
        weight=weight,
        member=member,
    )


def _height_error(bins: PolarBins, measured: MeasuredPoints) -> NDArray[np.float32]:
    """Two standard deviations of the points' heights, [N], m: an error of the distance acts along the line of sight."""
    down = np.abs(np.float32(measured.origin[2]) - bins.z)
    along = np.sqrt(down * down + bins.distance * bins.distance)
    error: NDArray[np.float32] = 2 * measured.error[bins.order] * down / along
    return error


def _rays_through(
    bins: PolarBins, heights: GroundHeights, sensor_height: float, below: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """How many lines of sight to the points `below` [N] pass below the expected ground in each bin, [B, R].

    A line from height H to a point at range r and height z passes the height g at r (H - g) / (H - z).
    """
    bearings, ranges = heights.height.shape
    index, z, distance = bins.index[below], bins.z[below], bins.distance[below]
    bearing, last = np.divmod(index, ranges)
    ground = heights.height.ravel()[index]
    crossing = distance * np.clip((sensor_height - ground) / np.maximum(sensor_height - z, 1e-3), 0, 1)
    first = np.clip(np.rint((crossing - bins.ranges[0]) / bins.range_step), 0, last).astype(np.intp)
    row = bearing * (ranges + 1)
    size = bearings * (ranges + 1)
    change = np.bincount(row + first, minlength=size) - np.bincount(row + last + 1, minlength=size)
    return np.cumsum(change.reshape(bearings, ranges + 1)[:, :-1], axis=1)


def _under(
    top: NDArray[np.float32],
    bins: PolarBins,
    heights: GroundHeights,
    sensor_height: float,
    settings: ProjectionSettings,
) -> NDArray[np.bool_]:
    """Bins [B, R] whose ground is only visible under an obstacle. `top` [B, R] is the obstacle's top, NaN for none.

    Only lines of sight over the tops of all nearer obstacles show that the space above the ground is free.
    """
    rise = np.where(np.isnan(top), -np.inf, (top - np.float32(sensor_height)) / bins.ranges)
    steepest = np.full_like(rise, -np.inf)
    np.maximum.accumulate(rise[:, :-1], axis=1, out=steepest[:, 1:])
    under: NDArray[np.bool_] = heights.height < sensor_height + steepest * bins.ranges - settings.height_noise
    return under


def _around(count: NDArray[np.intp]) -> NDArray[np.intp]:
    """Sums over each bin and its eight neighbours."""
    total = np.pad(count, 1)
    total = total[:-2] + total[1:-1] + total[2:]
    return total[:, :-2] + total[:, 1:-1] + total[:, 2:]


def _fill(
    visible: NDArray[np.bool_], open_: NDArray[np.bool_], resolution: float, max_gap: float
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Fill gaps between visible bins; returns the filled bins and, for each, the flat index of its source bin.

    Gaps up to `max_gap` are filled along a bearing. Across bearings, gaps of one bin are filled; it is no wider than a
    cell. A gap with a bin that is not open stays.
    """
    bearings, ranges = visible.shape
    column = np.arange(ranges)
    nearer = np.maximum.accumulate(np.where(visible, column, -1), axis=1)
    farther = np.minimum.accumulate(np.where(visible, column, 2 * ranges)[:, ::-1], axis=1)[:, ::-1]
    shut = np.cumsum(~open_, axis=1)
    between = (nearer >= 0) & (farther < ranges) & ((farther - nearer) * resolution <= max_gap + 1e-9)
    row = np.arange(bearings)[:, np.newaxis]
    between &= shut[row, farther.clip(0, ranges - 1)] == shut[row, nearer.clip(0)]
    source = row * ranges + np.where(visible, column, nearer)
    filled = visible | between
    aside = np.zeros_like(filled)
    aside[1:-1] = filled[:-2] & filled[2:] & ~filled[1:-1] & open_[1:-1]
    source[1:][aside[1:]] = source[:-1][aside[1:]]
    return filled | aside, source


def _weight(
    bins: PolarBins,
    heights: GroundHeights,
    kind: NDArray[np.uint8],
    measured: MeasuredPoints,
    member: NDArray[np.intp],
    pixel_angle: float,
    ground: GroundSettings,
) -> NDArray[np.float32]:
    """The probability that a measurement lies in the cell it is assigned to, float32 [B, R].

    Along the bearing two errors add up: the error of the distance and, on ground, the length that one pixel of the
    image covers: d² / h times the pixel's angle, for a surface at the perpendicular distance h below the camera. Across
    the bearing, attitude and pixel err by their angles times the distance d. On flat ground (`flat_ground.sampling`)
    the attitude error also acts along the bearing, because there no distance is measured.
    """
    slope, distance = heights.slope, np.hypot(bins.ranges, measured.origin[2] - heights.height)
    above = (measured.origin[2] - heights.height + slope * bins.ranges) / np.sqrt(1 + slope**2)
    pixel = pixel_angle / np.sqrt(12)
    footprint = np.where(kind == TerrainKind.GROUND, distance**2 / np.maximum(above, 0.05) * pixel, 0)
    along = np.hypot(np.append(measured.error, 0)[member], footprint)
    across = distance * np.hypot(ground.attitude_error, pixel)
    weight = in_cell_probability(ground.resolution, along) * in_cell_probability(ground.resolution, across)
    return weight.astype(np.float32)
