"""Walls: brick, plaster or stone, with windows, doors and shop fronts laid out on a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.simulation.rendering.noise import antialiased_noise, hash01
from seg_perception.simulation.rendering.surface_shaders import ShaderOutput, SurfacePoints

Values = NDArray[Any]  # one number or truth value per point

_BRICK_LONG, _BRICK_HIGH, _MORTAR = 0.225, 0.075, 0.01


def wall(points: SurfacePoints) -> ShaderOutput:
    """Masonry with openings where the material has a pitch and a storey height."""
    u, v, width = points.facade_coordinates()
    albedo = _masonry(points, u, v)
    gloss = np.zeros(len(u), np.float32)
    upright = np.abs(points.normal[:, 2]) < 0.5
    built = upright & (points.pitch > 0.0)
    if built.any():
        _openings(points, u, v, width, built, albedo, gloss)
    return albedo, gloss


def _masonry(points: SurfacePoints, u: Values, v: Values) -> Values:
    seed = (points.seed % 73).astype(np.float32)
    fine = points.footprint
    row = np.floor(v / _BRICK_HIGH)
    shifted = u / _BRICK_LONG + 0.5 * np.mod(row, 2.0)
    tone = hash01(np.floor(shifted), row, points.seed) - 0.5
    fade = np.clip(0.04 / fine - 0.6, 0.0, 1.0)
    saturation = points.colour[:, 0] - points.colour[:, 2]
    brick = (saturation > 0.06) & (points.random_value(9) < 0.8)
    joint = (np.mod(v, _BRICK_HIGH) < _MORTAR) | (np.mod(shifted, 1.0) * _BRICK_LONG < _MORTAR)
    shade = 1.0 + 0.3 * antialiased_noise(u, v, 1.8, fine, seed) + 0.25 * antialiased_noise(u, v, 0.4, fine, seed)
    shade += 0.25 * antialiased_noise(3.0 * u, v, 3.0, fine, seed) + 0.3 * antialiased_noise(u, v, 0.06, fine, seed)
    albedo = points.colour * (shade + np.where(brick, 0.6 * tone * fade, 0.0))[:, None]
    mortar = np.where(brick & joint, 0.5 * fade, 0.0)[:, None]
    albedo += mortar * (np.float32(0.4) - albedo)
    albedo *= (0.75 + 0.25 * np.clip(v / 0.7, 0.0, 1.0))[:, None]  # splashed dirt at the foot
    return np.asarray(albedo, np.float32)


def _openings(
    points: SurfacePoints, u: Values, v: Values, width: Values, built: Values, albedo: Values, gloss: Values
) -> None:
    """Windows, doors, shops and string courses, drawn over the masonry in place."""
    count = np.maximum(np.floor(width / np.maximum(points.pitch, 0.5)), 1.0)
    bay = width / count
    column = np.floor(u / bay)
    x = u - (column + 0.5) * bay
    storey = np.maximum(points.storey, 1.0)
    floor = np.floor(v / storey)
    y = v - floor * storey
    inside = built & (v < 2.0 * points.half[:, 2] - 0.45)
    chance = hash01(column, floor, points.seed)
    shop = inside & (floor == 0) & (points.density > 0.75)
    course = built & (points.random_value(2) < 0.4) & (np.abs(y - 0.05) < 0.07) & (v > 1.0)
    albedo[course] = 0.6 * points.accent[course] + 0.4 * albedo[course]
    cornice = built & (v > 2.0 * points.half[:, 2] - 0.3) & (points.random_value(3) < 0.6)
    albedo[cornice] = 0.7 * points.accent[cornice]
    _windows(points, x, y, bay, storey, inside & ~shop & (floor >= 0), chance, albedo, gloss)
    door = inside & ~shop & (floor == 0) & (chance > 0.72) & (np.abs(x) < 0.48) & (y < 2.1)
    leaf = hash01(column, points.seed, 21)
    albedo[door] = (0.02 + 0.3 * np.stack([leaf, np.mod(leaf * 7.0, 1.0), np.mod(leaf * 13.0, 1.0)], axis=1))[
        door
    ] ** 1.5
    frame = door & ((np.abs(x) > 0.42) | (y > 2.03))
    albedo[frame] = points.accent[frame]
    gloss[door] = 0.03
    _shop_fronts(points, u, x, y, bay, storey, shop, albedo, gloss)


def _windows(
    points: SurfacePoints,
    x: Values,
    y: Values,
    bay: Values,
    storey: Values,
    where: Values,
    chance: Values,
    albedo: Values,
    gloss: Values,
) -> None:
    half = np.clip(bay * (0.2 + 0.2 * points.random_value(4)), 0.3, 1.6)
    sill, head = storey * (0.22 + 0.12 * points.random_value(5)), storey * (0.76 + 0.1 * points.random_value(6))
    window = where & (np.abs(x) < half) & (y > sill) & (y < head) & (chance > 0.05)
    frame_width = 0.05 + 0.04 * points.random_value(7)
    mullion = np.minimum(np.abs(np.mod(x + half, np.maximum(half, 0.4)) - 0.0), np.abs(x)) < 0.5 * frame_width
    transom = np.abs(y - (sill + 0.55 * (head - sill))) < 0.5 * frame_width
    rim = (half - np.abs(x) < frame_width) | (y - sill < frame_width) | (head - y < frame_width)
    framed = window & (rim | mullion | transom) & (points.footprint < 0.12)
    surround = where & (np.abs(x) < half + 0.12) & (y > sill - 0.14) & (y < head + 0.2) & ~window
    stone = surround & ((points.random_value(8) < 0.5) | (y < sill))
    albedo[stone] = 0.65 * points.accent[stone] + 0.1
    lit = np.mod(chance * 37.0, 1.0)
    glass = np.float32(0.006) + np.float32(0.04) * lit**2
    curtain = (lit > 0.55) & (np.abs(x) > half * (0.4 + 0.5 * np.mod(chance * 91.0, 1.0)))
    glass = np.where(curtain, np.float32(0.3), glass)
    shadow = np.where(head - y < 0.18, 0.35, 1.0)
    albedo[window] = (glass * shadow)[window][:, None]
    gloss[window] = (0.08 + 0.35 * np.mod(chance * 17.0, 1.0) ** 2)[window]
    albedo[framed] = points.accent[framed] * 0.85
    gloss[framed] = 0.0


def _shop_fronts(
    points: SurfacePoints,
    u: Values,
    x: Values,
    y: Values,
    bay: Values,
    storey: Values,
    shop: Values,
    albedo: Values,
    gloss: Values,
) -> None:
    if not shop.any():
        return
    unit = np.floor(u / np.clip(3.0 * bay, 4.0, 9.0))
    hue = hash01(unit, points.seed, 31)
    paint = np.stack([hash01(unit, points.seed, number) for number in (32, 33, 34)], axis=1) ** 2 * 0.55 + 0.015
    fascia = shop & (y > storey - 0.85) & (y < storey - 0.2)
    albedo[fascia] = paint[fascia]
    letters = fascia & (np.abs(y - storey + 0.52) < 0.16) & (hash01(np.floor(u / 0.14), unit, 41) > 0.35)
    letters &= np.mod(u / np.clip(3.0 * bay, 4.0, 9.0), 1.0) < 0.3 + 0.6 * hue
    albedo[letters] = np.where(paint.mean(axis=1) > 0.2, 0.05, 0.75)[letters][:, None]
    front = shop & (y < storey - 0.85)
    pane = front & (y > 0.45) & (np.abs(x) < 0.5 * bay - 0.07)
    albedo[front] = paint[front] * 0.8
    goods = hash01(np.floor(u / 0.35), np.floor(y / 0.4), points.seed) ** 3
    tint = np.stack([goods, np.mod(goods * 7.3, 1.0), np.mod(goods * 3.1, 1.0)], axis=1) * 0.25 + 0.02
    shine = np.clip(1.0 - np.abs(y - 1.4), 0.15, 1.0)[:, None]
    albedo[pane] = (tint * shine)[pane]
    gloss[pane] = 0.15
