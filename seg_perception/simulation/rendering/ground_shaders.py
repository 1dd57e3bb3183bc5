"""Colours of the ground: asphalt and its markings, paving, kerbs and grass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.simulation.rendering.noise import antialiased_noise, hash01, value_noise
from seg_perception.simulation.world.scene import linear_light
from seg_perception.simulation.world.street import Street, Zone

Values = NDArray[Any]  # one number or truth value per point

_ASPHALT, _SLAB, _GRASS, _PATH, _KERB, _WHITE, _YELLOW = linear_light(
    [
        (0.36, 0.37, 0.38),
        (0.47, 0.46, 0.44),
        (0.30, 0.37, 0.19),
        (0.34, 0.34, 0.35),
        (0.56, 0.55, 0.53),
        (0.82, 0.82, 0.80),
        (0.72, 0.60, 0.22),
    ]
)


def ground_albedo(
    street: Street, x: Values, y: Values, across: Values, along: Values
) -> tuple[Values, NDArray[np.uint8], Values]:
    """Albedo of points on the ground.

    Args:
        street: the ground.
        x: float32 [n], odom, m.
        y: float32 [n], odom, m.
        across: float32 [n], width of a pixel on the ground, m.
        along: float32 [n], its length in the viewing direction, m.

    Returns:
        albedo float32 [n, 3] (linear), zone uint8 [n], paint float32 [n] (share covered by road markings).
    """
    s, d = street.to_street(x, y)
    zone = street.zones(s, d)
    footprint = np.sqrt(across * along)
    albedo = np.empty((len(x), 3), np.float32)
    paint = np.zeros(len(x), np.float32)
    tone = float(hash01(np.array([street.seed]), np.array([3]))[0])
    for kind in Zone:
        here = zone == kind
        if not here.any():
            continue
        sample = (x[here], y[here], footprint[here])
        if kind is Zone.ASPHALT:
            albedo[here] = _asphalt(street, s[here], d[here], *sample) * (0.75 + 0.6 * tone)
            paint[here], colour = markings(street, s[here], d[here], across[here], along[here])
            worn = (
                value_noise(x[here] * 1.7, y[here] * 1.7, 5.0) * 0.6 + value_noise(x[here] * 9.0, y[here] * 9.0) * 0.4
            )
            paint[here] *= np.clip((worn - street.markings.wear * 0.75) * 4.0 + 0.6, 0.0, 1.0)
            albedo[here] += paint[here][:, None] * (colour - albedo[here])
        elif kind is Zone.SLABS:
            albedo[here] = _slabs(street, s[here], d[here], *sample)
        elif kind is Zone.FOOTPATH:
            albedo[here] = _grainy(_PATH * (0.8 + 0.7 * tone), *sample, street.seed)
        else:
            albedo[here] = _grass(*sample, street.seed)
    _kerbs(street, s, d, across, albedo)
    return albedo, zone, paint


def _grainy(colour: Values, x: Values, y: Values, footprint: Values, seed: int) -> Values:
    shade = (
        1.0
        + 0.5 * antialiased_noise(x, y, 0.025, footprint)
        + 0.12 * antialiased_noise(x, y, 0.3, footprint, seed % 31)
    )
    shade += 0.16 * antialiased_noise(x, y, 2.5, footprint, seed % 17) + 0.25 * antialiased_noise(
        x, y, 11.0, footprint, seed % 13
    )
    result: Values = colour * shade[:, None]
    return result


def _asphalt(street: Street, s: Values, d: Values, x: Values, y: Values, footprint: Values) -> Values:
    albedo = _grainy(_ASPHALT, x, y, footprint, street.seed)
    lane = 0.5 * np.where(d > 0.0, street.left.road, street.right.road)
    rut = np.abs(np.abs(np.abs(d) - lane) - 0.75)
    albedo *= (1.0 + 0.12 * np.exp(-((rut / 0.3) ** 2)))[:, None].astype(np.float32)
    # Repairs: rectangles of newer, darker asphalt.
    patch = hash01(np.floor(s / 3.7 + street.seed % 7), np.floor((d + 30.0) / 1.6), street.seed)
    inside = (np.mod(s / 3.7, 1.0) > 0.2) & (np.mod((d + 30.0) / 1.6, 1.0) > 0.15)
    albedo *= np.where((patch > 0.93) & inside, 0.72, 1.0)[:, None].astype(np.float32)
    crack = np.abs(antialiased_noise(x + 2.0 * value_noise(y, x), y, 1.9, footprint, 3.0))
    albedo *= np.where((crack < 0.006) & (footprint < 0.1) & (value_noise(x * 0.2, y * 0.2) > 0.55), 0.65, 1.0)[:, None]
    return albedo.astype(np.float32)


def _slabs(street: Street, s: Values, d: Values, x: Values, y: Values, footprint: Values) -> Values:
    albedo = _grainy(_SLAB, x, y, footprint, street.seed)
    long, wide = 0.9, 0.6
    row = np.floor(d / wide)
    shifted = s + np.mod(row, 2.0) * 0.5 * long
    tone = hash01(np.floor(shifted / long), row, street.seed)
    gap = np.minimum(_to_joint(shifted, long), _to_joint(d, wide))
    joint = np.clip((0.012 - gap) / np.maximum(footprint, 0.01) + 0.5, 0.0, 1.0) * np.clip(0.02 / footprint, 0.0, 1.0)
    fade = np.clip(0.5 / footprint - 0.3, 0.0, 1.0)
    albedo *= ((1.0 + 0.25 * (tone - 0.5) * fade) * (1.0 - 0.55 * joint))[:, None].astype(np.float32)
    return albedo


def _to_joint(position: Values, period: float) -> Values:
    """Distance to the nearest whole multiple of `period`."""
    result: Values = (0.5 - np.abs(np.mod(position / period, 1.0) - 0.5)) * np.float32(period)
    return result


def _grass(x: Values, y: Values, footprint: Values, seed: int) -> Values:
    dry = np.clip(value_noise(x * 0.15, y * 0.15, seed % 11) * 1.4 - 0.4, 0.0, 1.0)[:, None]
    colour = _GRASS * (1.0 - 0.45 * dry) + 0.45 * dry * _GRASS[[1, 1, 2]] * np.array([1.1, 1.0, 1.2], np.float32)
    shade = 1.0 + 1.1 * antialiased_noise(x, y, 0.05, footprint) + 0.6 * antialiased_noise(x, y, 0.35, footprint)
    shade += 0.5 * antialiased_noise(x, y, 1.6, footprint, seed % 19)
    result: Values = (colour * shade[:, None]).astype(np.float32)
    return result


def _stripe(offset: Values, half_width: float, pixel: Values) -> Values:
    """Share of a pixel that a stripe of given half width covers, `offset` from its middle."""
    low = np.clip((offset + half_width) / pixel + 0.5, 0.0, 1.0)
    high = np.clip((offset - half_width) / pixel + 0.5, 0.0, 1.0)
    result: Values = (low - high).astype(np.float32)
    return result


def _dashes(s: Values, length: float, period: float, pixel: Values) -> Values:
    offset = np.mod(s, period) - 0.5 * period
    exact = _stripe(offset, 0.5 * length, pixel)
    result: Values = np.where(pixel > period, np.float32(length / period), exact).astype(np.float32)
    return result


def markings(street: Street, s: Values, d: Values, across: Values, along: Values) -> tuple[Values, Values]:
    """Road paint at street coordinates.

    Args:
        street: the ground.
        s: float32 [n], m.
        d: float32 [n], m.
        across: float32 [n], width of a pixel across the street, m.
        along: float32 [n], its length along the street, m.

    Returns:
        Share of each pixel that is painted float32 [n], and its colour float32 [n, 3] (linear).
    """
    rule = street.markings
    white = np.zeros(len(s), np.float32)
    if rule.centre == "dashed":
        white += _stripe(d, 0.06, across) * _dashes(s, 2.0 + 2.0 * (street.seed % 2), 6.0, along)
    elif rule.centre == "solid":
        white += _stripe(d, 0.06, across)
    elif rule.centre == "double":
        white += _stripe(np.abs(d) - 0.12, 0.05, across)
    for lane in rule.lanes:
        white += _stripe(np.abs(d) - lane, 0.05, across) * _dashes(s, 2.0, 8.0, along)
    edge = np.where(d > 0.0, d - street.left.road, -d - street.right.road).astype(np.float32)
    yellow = np.zeros(len(s), np.float32)
    if rule.edge == "white":
        white += _stripe(edge + 0.35, 0.05, across)
    elif rule.edge in ("yellow", "double_yellow"):
        yellow += _stripe(edge + 0.28, 0.045, across)
        if rule.edge == "double_yellow":
            yellow += _stripe(edge + 0.46, 0.045, across)
    on_main = edge < -0.2
    for junction in street.junctions:
        gone = np.abs(s - junction.s) < junction.half_width + 2.0
        opened = np.where(d > 0.0, junction.opens(True), junction.opens(False))
        yellow *= ~(gone & opened)
        give_way = (_stripe(edge - 0.15, 0.06, across) + _stripe(edge - 0.45, 0.06, across)) * _dashes(
            s, 0.6, 0.9, along
        )
        inside = np.abs(s - junction.s) < junction.half_width
        white += give_way * (inside & opened & ~on_main)
    for crossing in rule.crossings:
        bars = _dashes(d, 0.55, 1.1, across) * _stripe(s - crossing, 1.3, along)
        near = np.abs(s - crossing) < 1.6
        white = np.where(near & (edge < 0.0), bars, white).astype(np.float32)
    total = np.clip(white + yellow, 0.0, 1.0)
    share = np.where(total > 0.0, yellow / np.maximum(white + yellow, 1e-6), 0.0)[:, None]
    return total, (_WHITE * (1.0 - share) + _YELLOW * share).astype(np.float32)


def _kerbs(street: Street, s: Values, d: Values, across: Values, albedo: Values) -> None:
    """Kerb stones (14 cm wide, on the pavement's side of the edge) and the dark gutter before them, in place."""
    joint = np.where(np.mod(s, 0.92) < 0.02, 0.7, 1.0)[:, None].astype(np.float32)
    for side, sign in ((street.left, 1.0), (street.right, -1.0)):
        edge = np.asarray(d * sign - side.road, np.float32)
        for junction in street.junctions:
            if junction.opens(left=sign > 0):
                edge[np.abs(s - junction.s) < junction.half_width + 2.0] = -99.0
        stone = _stripe(edge - 0.07, 0.07, across)[:, None]
        albedo += stone * (_KERB * joint - albedo)
        albedo *= 1.0 - 0.55 * _stripe(edge + 0.06, 0.06, across)[:, None]
