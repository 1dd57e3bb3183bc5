"""Colours of standing things: one painter for each kind of surface (walls and signs have files of their own)."""

from __future__ import annotations

import numpy as np

from seg_perception.sim.noise import faded_noise, hash01, value_noise
from seg_perception.sim.spots import Painted, Spots, matt


def plain(spots: Spots) -> Painted:
    """One colour with slight stains and folds."""
    u, v = spots.local[:, 0] + spots.local[:, 1], spots.local[:, 2]
    seed = (spots.seed % 89).astype(np.float32)
    shade = 1.0 + 0.35 * faded_noise(u, v, 0.25, spots.footprint, seed) + 0.3 * faded_noise(u, v, 0.07, spots.footprint)
    return matt(spots.colour * shade[:, None])


def car_body(spots: Spots) -> Painted:
    """Lacquer with lamps and number plates at the ends and gaps around the doors."""
    x, y, z = spots.local.T
    half = spots.half
    albedo = spots.colour.copy()
    gloss = np.full(len(albedo), 0.12, np.float32)
    end = np.abs(spots.normal[:, 0]) > 0.7
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
    flank = np.abs(spots.normal[:, 1]) > 0.7
    door = flank & ((np.abs(x - 0.25) < 0.012) | (np.abs(x + 0.75) < 0.012)) & (spots.footprint < 0.03)
    albedo[door] *= 0.4
    albedo[flank & (np.abs(up - 0.9) < 0.05)] *= 0.85
    return albedo, gloss


def car_panel(spots: Spots) -> Painted:
    """Lacquer and nothing else."""
    return spots.colour, np.full(len(spots.colour), 0.12, np.float32)


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
    return matt(albedo)


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
    return matt(albedo)


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
    return matt(albedo)


def bark(spots: Spots) -> Painted:
    """Furrows along the trunk."""
    u = np.arctan2(spots.local[:, 1], spots.local[:, 0]) * spots.half[:, 0]
    seed = (spots.seed % 79).astype(np.float32)
    shade = 1.0 + 0.9 * faded_noise(4.0 * u, spots.local[:, 2], 0.2, spots.footprint, seed)
    shade += 0.5 * faded_noise(u, spots.local[:, 2], 0.6, spots.footprint, seed)
    return matt(spots.colour * shade[:, None])


def planks(spots: Spots) -> Painted:
    """Upright boards with gaps."""
    u, v, _ = spots.facade()
    board = np.floor(u / spots.pitch)
    tone = hash01(board, board, spots.seed)
    gap = (np.mod(u / spots.pitch, 1.0) < 0.12) & (spots.footprint < spots.pitch)
    grain = 0.5 * faded_noise(6.0 * u, v, 0.5, spots.footprint, tone * 40.0)
    shade = (0.8 + 0.4 * tone + grain) * np.where(gap, 0.3, 1.0)
    return matt(spots.colour * shade[:, None])
