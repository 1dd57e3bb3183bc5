"""Colours of standing things: one function for each kind of surface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.simulation.rendering.noise import F32, faded_noise, hash01, value_noise


@dataclass(frozen=True)
class Spots:
    """Points on solids of one kind of surface, n of them.

    Attributes:
        local: float32 [n, 3], in the solid's frame, m.
        normal: float32 [n, 3], outward unit normal in the solid's frame.
        half: float32 [n, 3], half sizes of the solid, m.
        face: int8 [n], see raycast.Hits.
        footprint: float32 [n], width of the pixel on the surface, m.
        colour: float32 [n, 3], linear.
        accent: float32 [n, 3], linear.
        pitch: float32 [n], m.
        storey: float32 [n], m.
        density: float32 [n].
        seed: int64 [n].
    """

    local: F32
    normal: F32
    half: F32
    face: NDArray[np.int8]
    footprint: F32
    colour: F32
    accent: F32
    pitch: F32
    storey: F32
    density: F32
    seed: NDArray[np.int64]

    def chance(self, number: int) -> F32:
        """A random number in [0, 1) that is the same all over one solid."""
        return hash01(self.seed, np.full_like(self.seed, number))

    def facade(self) -> tuple[F32, F32, F32]:
        """Across the face from its left edge, up from the foot, and the face's width; all m."""
        on_x = self.face < 2
        across: F32 = np.where(on_x, self.local[:, 1], self.local[:, 0])
        half: F32 = np.where(on_x, self.half[:, 1], self.half[:, 0])
        up: F32 = self.local[:, 2] + self.half[:, 2]
        return across + half, up, np.float32(2.0) * half


Painted = tuple[F32, F32]  # albedo [n, 3] (linear) and gloss [n] (share of the light that is mirrored)
Painter = Callable[[Spots], Painted]


def _matt(albedo: NDArray[np.floating]) -> Painted:
    return np.asarray(albedo, np.float32), np.zeros(len(albedo), np.float32)


def plain(spots: Spots) -> Painted:
    """One colour with slight stains and folds."""
    u, v = spots.local[:, 0] + spots.local[:, 1], spots.local[:, 2]
    seed = (spots.seed % 89).astype(np.float32)
    shade = 1.0 + 0.35 * faded_noise(u, v, 0.25, spots.footprint, seed) + 0.3 * faded_noise(u, v, 0.07, spots.footprint)
    return _matt(spots.colour * shade[:, None])


def car_body(spots: Spots) -> Painted:
    """Lacquer, with lamps and number plates at the ends and dark sills; density 0 leaves these out."""
    x, y, z = spots.local.T
    half = spots.half
    albedo = spots.colour.copy()
    gloss = np.full(len(albedo), 0.12, np.float32)
    detailed = spots.density > 0.5
    end = detailed & (np.abs(spots.normal[:, 0]) > 0.7)
    front = x > 0
    side = np.abs(y) / half[:, 1]
    up = (z + half[:, 2]) / (2.0 * half[:, 2])
    lamp = end & (side > 0.66) & (side < 0.97) & (up > 0.25) & (up < 0.85)
    albedo[lamp & front] = (0.75, 0.75, 0.72)
    albedo[lamp & ~front] = (0.45, 0.02, 0.02)
    gloss[lamp] = 0.25
    plate = end & (np.abs(y) < 0.26) & (np.abs(z + 0.2 * half[:, 2]) < 0.06)
    albedo[plate & front] = (0.8, 0.8, 0.78)
    albedo[plate & ~front] = (0.75, 0.55, 0.05)
    grille = end & front & (side < 0.5) & (up > 0.62) & ~plate
    albedo[grille] = (0.02, 0.02, 0.02)
    flank = detailed & (np.abs(spots.normal[:, 1]) > 0.7)
    door = flank & ((np.abs(x - 0.25) < 0.012) | (np.abs(x + 0.75) < 0.012)) & (spots.footprint < 0.03)
    albedo[door] *= 0.4
    albedo[flank & (np.abs(up - 0.9) < 0.05)] *= 0.85
    return albedo, gloss


def car_glass(spots: Spots) -> Painted:
    """Dark panes between pillars in the car's colour."""
    x, y, z = spots.local.T
    albedo = spots.colour.copy()
    gloss = np.full(len(albedo), 0.3, np.float32)
    up = (z + spots.half[:, 2]) / (2.0 * spots.half[:, 2])
    flank = np.abs(spots.normal[:, 1]) > np.abs(spots.normal[:, 0])
    taper = 0.32 * up
    along = np.where(flank, np.abs(x) / spots.half[:, 0], np.abs(y) / spots.half[:, 1])
    pillar = along > np.where(spots.pitch > 0.0, 0.97, 0.9 - 0.55 * taper * np.where(flank, 1.0, 0.8))
    bands = np.where(spots.pitch > 0.0, np.mod(x, np.maximum(spots.pitch, 0.1)) < 0.09, np.abs(x + 0.15) < 0.05)
    pillar |= flank & bands
    pillar |= (up > 0.93) | (up < 0.06)
    albedo[pillar] = spots.accent[pillar]
    gloss[pillar] = 0.1
    seats = ~pillar & (up < 0.45) & (value_noise(y * 2.2, x * 1.5, 3.0) > 0.55)
    albedo[seats] *= 0.5
    return albedo, gloss


def wheel(spots: Spots) -> Painted:
    """Tyre and hub cap."""
    radius = np.hypot(spots.local[:, 0], spots.local[:, 1]) / spots.half[:, 0]
    angle = np.arctan2(spots.local[:, 1], spots.local[:, 0])
    hub = (spots.face < 6) & (radius < 0.66)
    dark = hub & (np.cos(angle * 5.0) > 0.55) & (radius > 0.2)
    albedo = np.where(hub[:, None], spots.accent, spots.colour)
    albedo[dark] *= 0.25
    return _matt(albedo)


def roof(spots: Spots) -> Painted:
    """Rows of tiles; upright faces are gables and take the accent colour."""
    u = spots.local[:, 0] + 0.7 * spots.local[:, 1]
    v = spots.local[:, 2] * 1.6
    row = np.floor(v / 0.18)
    tile = hash01(np.floor(u / 0.25 + 0.5 * np.mod(row, 2.0)), row, spots.seed)
    fade = np.clip(0.12 / spots.footprint - 0.2, 0.0, 1.0)
    shade = 1.0 + 0.5 * (tile - 0.5) * fade - 0.3 * (np.mod(v / 0.18, 1.0) < 0.2) * fade
    shade += 0.5 * faded_noise(u, v, 1.3, spots.footprint, (spots.seed % 83).astype(np.float32))
    albedo = spots.colour * shade[:, None]
    gable = np.abs(spots.normal[:, 2]) < 0.05
    albedo[gable] = spots.accent[gable]
    return _matt(albedo)


def foliage(spots: Spots) -> Painted:
    """Clumps of leaves or twigs: strong contrast at several sizes."""
    x, y, z = spots.local.T
    u, v = x + 0.6 * y, z + 0.5 * y
    seed = (spots.seed % 97).astype(np.float32)
    shade = (
        1.15
        + 2.2 * faded_noise(u, v, 0.05, spots.footprint, seed)
        + 1.8 * faded_noise(v, u, 0.14, spots.footprint, seed)
    )
    shade += 1.0 * faded_noise(u - v, v + x, 0.45, spots.footprint, seed) + 0.7 * faded_noise(
        u, v, 1.4, spots.footprint, seed
    )
    below = np.clip(0.5 + 0.5 * z / spots.half[:, 2], 0.0, 1.0)
    albedo = spots.colour * (np.clip(shade, 0.05, 3.0) * (0.4 + 0.7 * below))[:, None]
    tint = 0.35 * faded_noise(u, v, 0.9, spots.footprint, seed + 5.0)
    albedo *= 1.0 + tint[:, None] * np.array([1.0, 0.2, -0.8], np.float32)
    return _matt(albedo)


def bark(spots: Spots) -> Painted:
    """Furrows along the trunk."""
    u = np.arctan2(spots.local[:, 1], spots.local[:, 0]) * spots.half[:, 0]
    seed = (spots.seed % 79).astype(np.float32)
    shade = 1.0 + 0.9 * faded_noise(4.0 * u, spots.local[:, 2], 0.2, spots.footprint, seed)
    shade += 0.5 * faded_noise(u, spots.local[:, 2], 0.6, spots.footprint, seed)
    return _matt(spots.colour * shade[:, None])


def planks(spots: Spots) -> Painted:
    """Upright boards with gaps."""
    u, v, _ = spots.facade()
    board = np.floor(u / spots.pitch)
    tone = hash01(board, board, spots.seed)
    gap = (np.mod(u / spots.pitch, 1.0) < 0.12) & (spots.footprint < spots.pitch)
    grain = 0.5 * faded_noise(6.0 * u, v, 0.5, spots.footprint, tone * 40.0)
    shade = (0.8 + 0.4 * tone + grain) * np.where(gap, 0.3, 1.0)
    return _matt(spots.colour * shade[:, None])


def sign(spots: Spots) -> Painted:
    """Discs and triangles with a rim, plates with lines of writing, signal heads; density/0.1 is the style."""
    x, y, z = spots.local.T
    half = spots.half
    style = np.round(spots.density * 10.0).astype(int)
    albedo = spots.colour.copy()
    radius = np.hypot(x, y) / half[:, 0]
    level = hash01(np.floor((z + half[:, 2]) / 0.12), spots.seed, 11)
    up = (z + half[:, 2]) / (2.0 * half[:, 2])
    cap = (spots.face == 4) | (spots.face == 5)
    facing = np.abs(spots.normal[:, 0]) > 0.7
    symbol = value_noise(y * 9.0, z * 9.0 + x * 9.0, (spots.seed % 71).astype(np.float32)) > 0.6
    disc = (style == 1) & cap
    albedo = np.where((disc & (radius < 0.72))[:, None], spots.accent, albedo)
    albedo[disc & (radius < 0.5) & symbol] = 0.02
    blue = (style == 2) & cap
    albedo = np.where((blue & (radius < 0.6) & symbol)[:, None], spots.accent, albedo)
    inner = np.abs(y) < 0.72 * half[:, 1] * (1.0 - up) - 0.02
    triangle = (style == 3) & facing & inner & (up > 0.1)
    albedo = np.where(triangle[:, None], spots.accent, albedo)
    albedo[triangle & (np.abs(y) < 0.06) & symbol] = 0.02
    line = np.mod(z + half[:, 2], 0.12) > 0.05
    written = (
        line
        & (np.abs(y) < half[:, 1] * (0.3 + 0.6 * level))
        & (hash01(np.floor(y / 0.05), level * 99.0, spots.seed) > 0.3)
    )
    rim = (np.abs(y) > half[:, 1] - 0.02) | (np.abs(z) > half[:, 2] - 0.02)
    plate = (style == 4) & facing & (written | rim)
    albedo = np.where(plate[:, None], spots.accent, albedo)
    lit = np.floor(spots.chance(1) * 3.0)
    third = (z + half[:, 2]) / (half[:, 2] / 1.5)
    lamp = (style == 5) & facing & (x < 0) & (np.hypot(y, (np.mod(third, 1.0) - 0.5) * 0.33) < 0.1)
    shining = lamp & (np.floor(third) == lit)
    albedo[lamp] = 0.03
    for number, colour in enumerate(((0.1, 3.0, 1.2), (3.0, 1.5, 0.1), (3.0, 0.2, 0.1))):
        albedo[shining & (lit == number)] = colour
    albedo[(style < 5) & (x > 0) & facing] = 0.25
    return _matt(albedo)
