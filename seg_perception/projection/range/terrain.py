"""What measured points say about the ground, place by place: ground, an obstacle, a hole, or nothing.

Places are bearings x ranges around the sensor's foot point, as `ground` has them for the flat plane; here they are no
wider than a cell at the largest range, and each holds the points measured in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from seg_perception.projection.flat_ground.sampling import GroundSettings
from seg_perception.projection.in_cell_probability import within
from seg_perception.projection.range.ground_heights import GroundHeights, follow_ground
from seg_perception.projection.range.measured_points import MeasuredPoints
from seg_perception.projection.range.polar_bins import Bins, sort_into_bins
from seg_perception.settings.projection import ProjectionSettings


class Kind(IntEnum):
    """What a place shows."""

    UNSEEN = 0
    GROUND = 1
    OBSTACLE = 2
    HOLE = 3


@dataclass(frozen=True, eq=False)
class Surface:
    """The places of one measurement.

    Attributes:
        points: float64 [B, R, 2], (x, y) of their middles in the footprint frame, m.
        foot: float64 [2], the sensor's foot point, m.
        bearings: float64 [B], evenly spaced, rad.
        ranges: float64 [R], evenly spaced, m.
        kind: uint8 [B, R], see Kind.
        height: float32 [B, R], of the ground there, or of the ground expected there, m.
        weight: float32 [B, R], 0..1, how likely what was measured lies in the cell it is booked into.
        member: intp [B, R], the measured point that speaks for ground or an obstacle; -1 elsewhere.
    """

    points: NDArray[np.float64]
    foot: NDArray[np.float64]
    bearings: NDArray[np.float64]
    ranges: NDArray[np.float64]
    kind: NDArray[np.uint8]
    height: NDArray[np.float32]
    weight: NDArray[np.float32]
    member: NDArray[np.intp]


def read_surface(
    measured: MeasuredPoints, pixel_angle: float, ground: GroundSettings, settings: ProjectionSettings
) -> Surface:
    """Tell ground, obstacles and holes apart.

    With g the ground's height at a place, found or expected, and s = max_step plus two standard deviations of a
    point's height: points within s of g are ground, those between g + s and g + robot_height an obstacle, those above
    overhead and of no account. A line of sight that ends below g - s has gone through the place where the ground should
    be, and through all places from there to its end. Places with more such lines than points on the ground are a hole,
    and with them the place that holds its edge. An obstacle outranks ground, and a hole both.

    Ground is seen where points lie on it, and between two such places of a bearing not more than max_gap apart; and so
    is an obstacle, since a surface almost as high as the sensor is met by few lines of sight. Ground that is seen under
    an obstacle, between the wheels of a car, is not seen: who knows how far the obstacle reaches over it. Obstacles and
    holes take min_points in a place and its neighbours; a place that holds fewer that stand up is unseen.

    Args:
        measured: points in view of the camera.
        pixel_angle: angle between neighbouring pixels of the image that says what they are, rad.
        ground: resolution, ranges and attitude_error.
        settings: what counts as ground.

    Returns:
        Surface.
    """
    bins = sort_into_bins(measured, ground, settings)
    heights = follow_ground(bins.lowest(), bins.ranges, settings)
    over = bins.z - heights.height.ravel()[bins.index]
    step = settings.max_step + _height_error(bins, measured)
    below, stands = over < -step, (over > step) & (over < settings.robot_height)
    count_below, count_ground, count_standing = (bins.count(mask) for mask in (below, np.abs(over) <= step, stands))
    sunk, standing = ((count > 0) & (_around(count) >= settings.min_points) for count in (count_below, count_standing))
    through = _rays_through(bins, heights, float(measured.origin[2]), below & sunk.ravel()[bins.index])
    hole = through > count_ground
    hole[:, :-1] |= (through[:, :-1] > 0) & hole[:, 1:]  # its edge, with ground before it in the same place
    top = bins.height(count_below + count_ground + count_standing - 1)
    hidden = _under(np.where(standing, top, np.float32(np.nan)), bins, heights, float(measured.origin[2]), settings)
    flat = (count_ground > 0) & (count_standing == 0) & ~hidden
    is_obstacle, obstacle_source = _fill(standing, ~hole, ground.resolution, settings.max_gap)
    open_ = (count_standing == 0) & ~hole & ~hidden
    is_ground, ground_source = _fill(flat & ~hole, open_, ground.resolution, settings.max_gap)
    kind = np.select([hole, is_obstacle, is_ground], [Kind.HOLE, Kind.OBSTACLE, Kind.GROUND], Kind.UNSEEN).astype(
        np.uint8
    )

    # Within a place points are sorted by height: those below, ground, what stands, what hangs overhead.
    middle = np.where(standing, count_below + count_ground + count_standing // 2, count_below + count_ground // 2)
    own = bins.member(middle)
    source = np.where(kind == Kind.OBSTACLE, obstacle_source, ground_source)
    member = np.where((kind == Kind.GROUND) | (kind == Kind.OBSTACLE), own.ravel()[source], -1)
    class_is_seen = np.append(measured.has_class, False)[member]
    kind[(kind == Kind.GROUND) & ~class_is_seen] = Kind.UNSEEN
    weight = _weight(bins, heights, kind, measured, np.where(member >= 0, member, own), pixel_angle, ground)
    return Surface(
        points=bins.middles(),
        foot=measured.origin[:2],
        bearings=bins.bearings,
        ranges=bins.ranges,
        kind=kind,
        height=heights.height,
        weight=weight,
        member=member,
    )


def _height_error(bins: Bins, measured: MeasuredPoints) -> NDArray[np.float32]:
    """Two standard deviations of the points' heights, [N], m: an error of the distance acts along the line of sight."""
    down = np.abs(np.float32(measured.origin[2]) - bins.z)
    along = np.sqrt(down * down + bins.distance * bins.distance)
    error: NDArray[np.float32] = 2 * measured.error[bins.order] * down / along
    return error


def _rays_through(
    bins: Bins, heights: GroundHeights, sensor_height: float, below: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """How many lines of sight to the points `below` [N] are lower than the ground should be in each place, [B, R].

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
    bins: Bins,
    heights: GroundHeights,
    sensor_height: float,
    settings: ProjectionSettings,
) -> NDArray[np.bool_]:
    """Places [B, R] whose ground is only seen from under an obstacle, whose top is `top` [B, R], NaN for none.

    The line over the top of what stands nearer is the lowest that says whether the space over the ground is free.
    """
    rise = np.where(np.isnan(top), -np.inf, (top - np.float32(sensor_height)) / bins.ranges)
    steepest = np.full_like(rise, -np.inf)
    np.maximum.accumulate(rise[:, :-1], axis=1, out=steepest[:, 1:])
    under: NDArray[np.bool_] = heights.height < sensor_height + steepest * bins.ranges - settings.height_noise
    return under


def _around(count: NDArray[np.intp]) -> NDArray[np.intp]:
    """Sums over each place and its eight neighbours."""
    total = np.pad(count, 1)
    total = total[:-2] + total[1:-1] + total[2:]
    return total[:, :-2] + total[:, 1:-1] + total[:, 2:]


def _fill(
    seen: NDArray[np.bool_], open_: NDArray[np.bool_], resolution: float, max_gap: float
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Places seen, or between seen ones; and for each the flat index of the seen place that speaks for it.

    Along a bearing gaps up to `max_gap` are closed, and across bearings those of one place, which is no wider than a
    cell; never over a place that is not open.
    """
    bearings, ranges = seen.shape
    column = np.arange(ranges)
    nearer = np.maximum.accumulate(np.where(seen, column, -1), axis=1)
    farther = np.minimum.accumulate(np.where(seen, column, 2 * ranges)[:, ::-1], axis=1)[:, ::-1]
    shut = np.cumsum(~open_, axis=1)
    between = (nearer >= 0) & (farther < ranges) & ((farther - nearer) * resolution <= max_gap + 1e-9)
    row = np.arange(bearings)[:, np.newaxis]
    between &= shut[row, farther.clip(0, ranges - 1)] == shut[row, nearer.clip(0)]
    source = row * ranges + np.where(seen, column, nearer)
    filled = seen | between
    aside = np.zeros_like(filled)
    aside[1:-1] = filled[:-2] & filled[2:] & ~filled[1:-1] & open_[1:-1]
    source[1:][aside[1:]] = source[:-1][aside[1:]]
    return filled | aside, source


def _weight(
    bins: Bins,
    heights: GroundHeights,
    kind: NDArray[np.uint8],
    measured: MeasuredPoints,
    member: NDArray[np.intp],
    pixel_angle: float,
    ground: GroundSettings,
) -> NDArray[np.float32]:
    """The probability that what was measured lies in the cell it is booked into, float32 [B, R].

    Along the bearing two errors add up: that of the distance, and, on ground, the stretch that one pixel of the image
    covers and within which it cannot say what is where, d² / h times the pixel's angle for a surface that lies h below
    the eye, measured square to the surface. Across, attitude and pixel err by their angles times the distance d. Both
    as in `ground`, where the attitude, for lack of a measured distance, acts along the bearing, too.
    """
    slope, distance = heights.slope, np.hypot(bins.ranges, measured.origin[2] - heights.height)
    above = (measured.origin[2] - heights.height + slope * bins.ranges) / np.sqrt(1 + slope**2)
    pixel = pixel_angle / np.sqrt(12)
    footprint = np.where(kind == Kind.GROUND, distance**2 / np.maximum(above, 0.05) * pixel, 0)
    along = np.hypot(np.append(measured.error, 0)[member], footprint)
    across = distance * np.hypot(ground.attitude_error, pixel)
    weight = within(ground.resolution, along) * within(ground.resolution, across)
    return weight.astype(np.float32)
