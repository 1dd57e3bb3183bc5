"""Surface shaders: albedo and gloss of solids, one function for each surface type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.simulation.rendering.noise import F32, antialiased_noise, hash01, value_noise


@dataclass(frozen=True)
class SurfacePoints:
    """n points on solids of one surface type.

    Attributes:
        local: float32 [n, 3], in the solid's frame, m.
        normal: float32 [n, 3], outward unit normal in the solid's frame.
        half: float32 [n, 3], half sizes of the solid, m.
        face: int8 [n], see raycast.RayHits.
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

    def random_value(self, number: int) -> F32:
        """A random number in [0, 1) that is constant over each solid."""
        return hash01(self.seed, np.full_like(self.seed, number))

    def facade_coordinates(self) -> tuple[F32, F32, F32]:
        """Distance from the left edge of the face, height above its foot, and width of the face, m."""
        on_x = self.face < 2
        across: F32 = np.where(on_x, self.local[:, 1], self.local[:, 0])
        half: F32 = np.where(on_x, self.half[:, 1], self.half[:, 0])
        up: F32 = self.local[:, 2] + self.half[:, 2]
        return across + half, up, np.float32(2.0) * half


ShaderOutput = tuple[F32, F32]  # albedo [n, 3] (linear) and gloss [n] (share of the light that is mirrored)
Shader = Callable[[SurfacePoints], ShaderOutput]


def _matte(albedo: NDArray[np.floating]) -> ShaderOutput:
    return np.asarray(albedo, np.float32), np.zeros(len(albedo), np.float32)


def plain(points: SurfacePoints) -> ShaderOutput:
    """One colour with slight stains and folds."""
    u, v = points.local[:, 0] + points.local[:, 1], points.local[:, 2]
    seed = (points.seed % 89).astype(np.float32)
    shade = (
        1.0
        + 0.35 * antialiased_noise(u, v, 0.25, points.footprint, seed)
        + 0.3 * antialiased_noise(u, v, 0.07, points.footprint)
    )
    return _matte(points.colour * shade[:, None])


def car_body(points: SurfacePoints) -> ShaderOutput:
    """Lacquer, with lamps and number plates at the ends and dark sills; density 0 leaves these out."""
    x, y, z = points.local.T
    half = points.half
    albedo = points.colour.copy()
    gloss = np.full(len(albedo), 0.12, np.float32)
    detailed = points.density > 0.5
    end = detailed & (np.abs(points.normal[:, 0]) > 0.7)
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
    flank = detailed & (np.abs(points.normal[:, 1]) > 0.7)
    door = flank & ((np.abs(x - 0.25) < 0.012) | (np.abs(x + 0.75) < 0.012)) & (points.footprint < 0.03)
    albedo[door] *= 0.4
    albedo[flank & (np.abs(up - 0.9) < 0.05)] *= 0.85
    return albedo, gloss


def car_glass(points: SurfacePoints) -> ShaderOutput:
    """Dark panes between pillars in the car's colour."""
    x, y, z = points.local.T
    albedo = points.colour.copy()
    gloss = np.full(len(albedo), 0.3, np.float32)
    up = (z + points.half[:, 2]) / (2.0 * points.half[:, 2])
    flank = np.abs(points.normal[:, 1]) > np.abs(points.normal[:, 0])
    taper = 0.32 * up
    along = np.where(flank, np.abs(x) / points.half[:, 0], np.abs(y) / points.half[:, 1])
    pillar = along > np.where(points.pitch > 0.0, 0.97, 0.9 - 0.55 * taper * np.where(flank, 1.0, 0.8))
    bands = np.where(points.pitch > 0.0, np.mod(x, np.maximum(points.pitch, 0.1)) < 0.09, np.abs(x + 0.15) < 0.05)
    pillar |= flank & bands
    pillar |= (up > 0.93) | (up < 0.06)
    albedo[pillar] = points.accent[pillar]
    gloss[pillar] = 0.1
    seats = ~pillar & (up < 0.45) & (value_noise(y * 2.2, x * 1.5, 3.0) > 0.55)
    albedo[seats] *= 0.5
    return albedo, gloss


def wheel(points: SurfacePoints) -> ShaderOutput:
    """Tyre and hub cap."""
    radius = np.hypot(points.local[:, 0], points.local[:, 1]) / points.half[:, 0]
    angle = np.arctan2(points.local[:, 1], points.local[:, 0])
    hub = (points.face < 6) & (radius < 0.66)
    dark = hub & (np.cos(angle * 5.0) > 0.55) & (radius > 0.2)
    albedo = np.where(hub[:, None], points.accent, points.colour)
    albedo[dark] *= 0.25
    return _matte(albedo)


def roof(points: SurfacePoints) -> ShaderOutput:
    """Rows of tiles; upright faces are gables and take the accent colour."""
    u = points.local[:, 0] + 0.7 * points.local[:, 1]
    v = points.local[:, 2] * 1.6
    row = np.floor(v / 0.18)
    tile = hash01(np.floor(u / 0.25 + 0.5 * np.mod(row, 2.0)), row, points.seed)
    fade = np.clip(0.12 / points.footprint - 0.2, 0.0, 1.0)
    shade = 1.0 + 0.5 * (tile - 0.5) * fade - 0.3 * (np.mod(v / 0.18, 1.0) < 0.2) * fade
    shade += 0.5 * antialiased_noise(u, v, 1.3, points.footprint, (points.seed % 83).astype(np.float32))
    albedo = points.colour * shade[:, None]
    gable = np.abs(points.normal[:, 2]) < 0.05
    albedo[gable] = points.accent[gable]
    return _matte(albedo)


def foliage(points: SurfacePoints) -> ShaderOutput:
    """Clumps of leaves or twigs: strong contrast at several sizes."""
    x, y, z = points.local.T
    u, v = x + 0.6 * y, z + 0.5 * y
    seed = (points.seed % 97).astype(np.float32)
    shade = (
        1.15
        + 2.2 * antialiased_noise(u, v, 0.05, points.footprint, seed)
        + 1.8 * antialiased_noise(v, u, 0.14, points.footprint, seed)
    )
    shade += 1.0 * antialiased_noise(u - v, v + x, 0.45, points.footprint, seed) + 0.7 * antialiased_noise(
        u, v, 1.4, points.footprint, seed
    )
    below = np.clip(0.5 + 0.5 * z / points.half[:, 2], 0.0, 1.0)
    albedo = points.colour * (np.clip(shade, 0.05, 3.0) * (0.4 + 0.7 * below))[:, None]
    tint = 0.35 * antialiased_noise(u, v, 0.9, points.footprint, seed + 5.0)
    albedo *= 1.0 + tint[:, None] * np.array([1.0, 0.2, -0.8], np.float32)
    return _matte(albedo)


def bark(points: SurfacePoints) -> ShaderOutput:
    """Furrows along the trunk."""
    u = np.arctan2(points.local[:, 1], points.local[:, 0]) * points.half[:, 0]
    seed = (points.seed % 79).astype(np.float32)
    shade = 1.0 + 0.9 * antialiased_noise(4.0 * u, points.local[:, 2], 0.2, points.footprint, seed)
    shade += 0.5 * antialiased_noise(u, points.local[:, 2], 0.6, points.footprint, seed)
    return _matte(points.colour * shade[:, None])


def planks(points: SurfacePoints) -> ShaderOutput:
    """Upright boards with gaps."""
    u, v, _ = points.facade_coordinates()
    board = np.floor(u / points.pitch)
    tone = hash01(board, board, points.seed)
    gap = (np.mod(u / points.pitch, 1.0) < 0.12) & (points.footprint < points.pitch)
    grain = 0.5 * antialiased_noise(6.0 * u, v, 0.5, points.footprint, tone * 40.0)
    shade = (0.8 + 0.4 * tone + grain) * np.where(gap, 0.3, 1.0)
    return _matte(points.colour * shade[:, None])


def sign(points: SurfacePoints) -> ShaderOutput:
    """Discs and triangles with a rim, plates with lines of writing, signal heads; density/0.1 is the style."""
    x, y, z = points.local.T
    half = points.half
    style = np.round(points.density * 10.0).astype(int)
    albedo = points.colour.copy()
    radius = np.hypot(x, y) / half[:, 0]
    level = hash01(np.floor((z + half[:, 2]) / 0.12), points.seed, 11)
    up = (z + half[:, 2]) / (2.0 * half[:, 2])
    cap = (points.face == 4) | (points.face == 5)
    facing = np.abs(points.normal[:, 0]) > 0.7
    symbol = value_noise(y * 9.0, z * 9.0 + x * 9.0, (points.seed % 71).astype(np.float32)) > 0.6
    disc = (style == 1) & cap
    albedo = np.where((disc & (radius < 0.72))[:, None], points.accent, albedo)
    albedo[disc & (radius < 0.5) & symbol] = 0.02
    blue = (style == 2) & cap
    albedo = np.where((blue & (radius < 0.6) & symbol)[:, None], points.accent, albedo)
    inner = np.abs(y) < 0.72 * half[:, 1] * (1.0 - up) - 0.02
    triangle = (style == 3) & facing & inner & (up > 0.1)
    albedo = np.where(triangle[:, None], points.accent, albedo)
    albedo[triangle & (np.abs(y) < 0.06) & symbol] = 0.02
    line = np.mod(z + half[:, 2], 0.12) > 0.05
    written = (
        line
        & (np.abs(y) < half[:, 1] * (0.3 + 0.6 * level))
        & (hash01(np.floor(y / 0.05), level * 99.0, points.seed) > 0.3)
    )
    rim = (np.abs(y) > half[:, 1] - 0.02) | (np.abs(z) > half[:, 2] - 0.02)
    plate = (style == 4) & facing & (written | rim)
    albedo = np.where(plate[:, None], points.accent, albedo)
    lit = np.floor(points.random_value(1) * 3.0)
    third = (z + half[:, 2]) / (half[:, 2] / 1.5)
    lamp = (style == 5) & facing & (x < 0) & (np.hypot(y, (np.mod(third, 1.0) - 0.5) * 0.33) < 0.1)
    shining = lamp & (np.floor(third) == lit)
    albedo[lamp] = 0.03
    for number, colour in enumerate(((0.1, 3.0, 1.2), (3.0, 1.5, 0.1), (3.0, 0.2, 0.1))):
        albedo[shining & (lit == number)] = colour
    albedo[(style < 5) & (x > 0) & facing] = 0.25
    return _matte(albedo)
