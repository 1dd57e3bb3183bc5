"""Traffic signs and signals. Their faces look along the local x axis, discs along their own z axis."""

from __future__ import annotations

import numpy as np

from seg_perception.sim.arrays import F32, Mask
from seg_perception.sim.noise import hash01, value_noise
from seg_perception.sim.spots import Painted, Spots, matt

_BACK = 0.2  # grey of the unpainted back
_INK = 0.02
_LINE = 0.12  # m, height of a line of writing
_LIGHTS = ((0.1, 3.0, 1.2), (3.0, 1.5, 0.1), (3.0, 0.2, 0.1))  # green, amber, red; brighter than white


def _symbol(spots: Spots) -> Mask:
    """A blotch with the look of a pictogram."""
    x, y, z = spots.local.T
    noise = value_noise(y * 9.0, z * 9.0 + x * 9.0, (spots.seed % 71).astype(np.float32))
    return np.asarray(noise > 0.6)


def _back_to_front(spots: Spots) -> Mask:
    return np.asarray((spots.normal[:, 0] > 0.7) & (spots.local[:, 0] > 0.0))


def ring_sign(spots: Spots) -> Painted:
    """A disc with a coloured rim, a pale middle and a dark symbol."""
    radius = np.hypot(spots.local[:, 0], spots.local[:, 1]) / spots.half[:, 0]
    albedo: F32 = np.where((radius < 0.72)[:, None], spots.accent, spots.colour)
    albedo[(radius < 0.5) & _symbol(spots)] = _INK
    albedo[spots.face != 4] = _BACK
    return matt(albedo)


def disc_sign(spots: Spots) -> Painted:
    """A coloured disc with a pale symbol."""
    radius = np.hypot(spots.local[:, 0], spots.local[:, 1]) / spots.half[:, 0]
    albedo: F32 = np.where(((radius < 0.6) & _symbol(spots))[:, None], spots.accent, spots.colour)
    albedo[spots.face != 4] = _BACK
    return matt(albedo)


def triangle_sign(spots: Spots) -> Painted:
    """A triangle with a coloured rim, a pale middle and a dark symbol."""
    _, y, z = spots.local.T
    up = (z + spots.half[:, 2]) / (2.0 * spots.half[:, 2])
    inner = (np.abs(y) < 0.72 * spots.half[:, 1] * (1.0 - up) - 0.02) & (up > 0.1)
    albedo: F32 = np.where(inner[:, None], spots.accent, spots.colour)
    albedo[inner & (np.abs(y) < 0.06) & _symbol(spots)] = _INK
    albedo[_back_to_front(spots)] = _BACK
    return matt(albedo)


def plate_sign(spots: Spots) -> Painted:
    """A rectangle with a rim and lines of writing."""
    _, y, z = spots.local.T
    half = spots.half
    row = np.floor((z + half[:, 2]) / _LINE)
    length = half[:, 1] * (0.3 + 0.6 * hash01(row, spots.seed, 11))
    letters = hash01(np.floor(y / 0.05), row, spots.seed) > 0.3
    written = (np.mod(z + half[:, 2], _LINE) > 0.05) & (np.abs(y) < length) & letters
    rim = (np.abs(y) > half[:, 1] - 0.02) | (np.abs(z) > half[:, 2] - 0.02)
    albedo: F32 = np.where((written | rim)[:, None], spots.accent, spots.colour)
    albedo[_back_to_front(spots)] = _BACK
    return matt(albedo)


def signal(spots: Spots) -> Painted:
    """The head of a traffic light: three lamps one above the other, one of them shining."""
    x, y, z = spots.local.T
    third = (z + spots.half[:, 2]) * 1.5 / spots.half[:, 2]
    number = np.floor(third)
    front = (np.abs(spots.normal[:, 0]) > 0.7) & (x < 0.0)
    lamp = front & (np.hypot(y, (np.mod(third, 1.0) - 0.5) * 0.33) < 0.1)
    albedo = spots.colour.copy()
    albedo[lamp] = _INK
    shining = lamp & (number == np.floor(spots.chance(1) * 3.0))
    for position, colour in enumerate(_LIGHTS):
        albedo[shining & (number == position)] = colour
    return matt(albedo)
