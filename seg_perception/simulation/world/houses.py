"""Buildings: walls with windows, shops or doors, and a roof. The front faces -y, its middle is the origin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg_perception.simulation.labels import Label
from seg_perception.simulation.world.solids import Colour, Material, Solid, SurfaceType, box, frustum

_WALLS: tuple[Colour, ...] = (
    (0.55, 0.47, 0.33),
    (0.60, 0.52, 0.38),
    (0.45, 0.25, 0.18),
    (0.50, 0.30, 0.22),
    (0.38, 0.22, 0.17),
    (0.75, 0.73, 0.68),
    (0.82, 0.80, 0.74),
    (0.45, 0.43, 0.40),
    (0.33, 0.32, 0.31),
    (0.62, 0.58, 0.50),
    (0.30, 0.24, 0.20),
)
_TRIM: tuple[Colour, ...] = ((0.85, 0.84, 0.80), (0.85, 0.84, 0.80), (0.25, 0.25, 0.26), (0.40, 0.30, 0.22))
_SLATE: tuple[Colour, ...] = ((0.22, 0.22, 0.24), (0.30, 0.20, 0.16), (0.36, 0.22, 0.17), (0.27, 0.25, 0.24))


@dataclass(frozen=True)
class HouseStyle:
    """What the houses of a terrace share.

    Attributes:
        storeys: number of floors.
        storey: height of a floor, m.
        pitch: distance between window axes, m.
        wall: its colour.
        trim: colour of window frames.
        shops: ground floor is shop windows.
        gable: pitched roof; otherwise flat.
    """

    storeys: int
    storey: float
    pitch: float
    wall: Colour
    trim: Colour
    shops: bool
    gable: bool


def house_style(rng: np.random.Generator, town: float) -> HouseStyle:
    """A style: from cottages (town = 0) to city blocks (town = 1)."""
    return HouseStyle(
        storeys=int(np.clip(rng.poisson(1.2 + 1.6 * town) + 1, 1, 6)),
        storey=float(rng.uniform(2.6, 3.5)),
        pitch=float(rng.uniform(1.5, 3.6)),
        wall=_WALLS[rng.integers(len(_WALLS))],
        trim=_TRIM[rng.integers(len(_TRIM))],
        shops=bool(rng.random() < 0.15 + 0.5 * town),
        gable=bool(rng.random() < 0.8 - 0.4 * town),
    )


def house(rng: np.random.Generator, style: HouseStyle, width: float, depth: float) -> tuple[Solid, ...]:
    """One building of `width` along x and `depth` along +y (m), front at y = 0."""
    seed = int(rng.integers(1 << 20))
    height = style.storeys * style.storey + 0.4
    tint = rng.uniform(0.88, 1.08)
    wall_colour: Colour = (style.wall[0] * tint, style.wall[1] * tint, style.wall[2] * tint)
    wall = Material(
        SurfaceType.WALL,
        wall_colour,
        style.trim,
        pitch=style.pitch,
        storey=style.storey,
        density=1.0 if style.shops else 0.5,
        seed=seed,
    )
    middle = (0.0, 0.5 * depth)
    half = (0.5 * width, 0.5 * depth)
    parts = [box(middle, half, (0.0, height), Label.BUILDING, wall)]
    slate = Material(
        SurfaceType.ROOF, _SLATE[rng.integers(len(_SLATE))], wall_colour, pitch=0.3, storey=0.25, seed=seed
    )
    if not style.gable:
        parapet = Material(SurfaceType.PLAIN, style.trim if rng.random() < 0.5 else wall_colour, seed=seed)
        parts.append(box(middle, (half[0] + 0.08, half[1] + 0.08), (height, height + 0.35), Label.BUILDING, parapet))
        return tuple(parts)
    eaves = (half[0] + 0.05, half[1] + 0.25)
    ridge = (0.02, eaves[1]) if rng.random() < 0.3 else (eaves[0], 0.02)
    rise = float(rng.uniform(0.6, 1.1)) * (eaves[0] if ridge[0] < 0.1 else eaves[1]) * 0.8
    rise = min(rise, 4.5)
    parts.append(frustum(middle, eaves, ridge, (height, height + rise), Label.BUILDING, slate))
    brick = Material(SurfaceType.WALL, wall_colour, density=0.0, seed=seed)
    for side in (-1.0, 1.0):
        if rng.random() < 0.7:
            at = (side * (half[0] - 0.6), float(rng.uniform(0.35, 0.65)) * depth)
            parts.append(box(at, (0.35, 0.5), (height, height + rise + 0.9), Label.BUILDING, brick))
    return tuple(parts)
