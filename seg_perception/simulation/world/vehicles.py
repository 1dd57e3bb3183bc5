"""Cars, vans, buses and bicycles. Each stands at the origin of its own frame, x forward, wheels on z = 0."""

from __future__ import annotations

import math

import numpy as np

from seg_perception.simulation.labels import Label
from seg_perception.simulation.world.people import clothing_colour, human_body
from seg_perception.simulation.world.solids import (
    Colour,
    Material,
    Solid,
    SolidShape,
    SurfaceType,
    box,
    ellipsoid,
    frustum,
    placed,
    rod,
)

_PAINTS: tuple[Colour, ...] = (
    (0.62, 0.64, 0.66),
    (0.62, 0.64, 0.66),
    (0.15, 0.16, 0.18),
    (0.10, 0.11, 0.13),
    (0.85, 0.85, 0.84),
    (0.10, 0.16, 0.34),
    (0.13, 0.25, 0.48),
    (0.45, 0.07, 0.08),
    (0.60, 0.10, 0.09),
    (0.10, 0.24, 0.17),
    (0.40, 0.30, 0.20),
    (0.30, 0.33, 0.36),
    (0.42, 0.58, 0.66),
)
_RUBBER = Material(SurfaceType.PLAIN, (0.06, 0.06, 0.06))


def _wheels(axle_front: float, axle_rear: float, track: float, radius: float) -> list[Solid]:
    tyre = Material(SurfaceType.WHEEL, (0.07, 0.07, 0.07), accent=(0.5, 0.5, 0.52))
    wheels = []
    for x in (axle_front, axle_rear):
        for side in (-1.0, 1.0):
            inner, outer = side * (track - 0.2), side * (track + 0.01)
            wheels.append(rod(np.array([x, inner, radius]), np.array([x, outer, radius]), radius, Label.CAR, tyre))
    return wheels


def car(rng: np.random.Generator) -> tuple[Solid, ...]:
    """A hatchback, saloon, estate or off-roader of random size and paint, about 4 m long."""
    style = rng.choice(["hatch", "saloon", "estate", "tall"], p=[0.45, 0.25, 0.15, 0.15])
    length = {"hatch": 3.8, "saloon": 4.5, "estate": 4.5, "tall": 4.5}[style] * rng.uniform(0.94, 1.06)
    height = {"hatch": 1.45, "saloon": 1.42, "estate": 1.46, "tall": 1.75}[style] * rng.uniform(0.97, 1.04)
    half, width = 0.5 * length, 0.5 * rng.uniform(1.65, 1.82)
    belt = 0.62 * height
    seed = int(rng.integers(1 << 20))
    paint: Colour = _PAINTS[rng.integers(len(_PAINTS))]
    body = Material(SurfaceType.CAR_BODY, paint, seed=seed)
    glass = Material(SurfaceType.CAR_GLASS, (0.05, 0.06, 0.07), accent=paint, seed=seed)
    roof = Material(SurfaceType.CAR_BODY, paint, density=0.0, seed=seed)
    bumper = roof if rng.random() < 0.6 else Material(SurfaceType.PLAIN, (0.12, 0.12, 0.12))
    nose = 0.25 * length
    cabin_end = {"hatch": 0.04, "saloon": 0.2, "estate": 0.03, "tall": 0.03}[style] * length
    foot = (half - nose + half - cabin_end) / 2.0
    middle = (half - nose) - foot
    top = foot - (0.42 if style == "saloon" else 0.3)
    parts = [
        frustum((0.0, 0.0), (half - 0.02, width - 0.02), (half, width), (0.2, 0.5), Label.CAR, bumper),
        frustum((0.0, 0.0), (half, width), (half - 0.08, width - 0.05), (0.5, belt), Label.CAR, body, (-0.03, 0.0)),
        frustum(
            (middle, 0.0),
            (foot, width - 0.06),
            (top, width - 0.26),
            (belt - 0.01, height - 0.05),
            Label.CAR,
            glass,
            (-0.12, 0.0),
        ),
        frustum(
            (middle - 0.12, 0.0),
            (top + 0.03, width - 0.24),
            (top - 0.15, width - 0.36),
            (height - 0.06, height),
            Label.CAR,
            roof,
        ),
        *_wheels(half - 0.19 * length, -half + 0.19 * length, width, 0.31),
    ]
    for side in (-1.0, 1.0):
        mirror = Material(SurfaceType.PLAIN, paint if rng.random() < 0.6 else (0.08, 0.08, 0.08))
        parts.append(
            ellipsoid((middle + foot - 0.35, side * (width + 0.06), belt + 0.08), (0.07, 0.1, 0.08), Label.CAR, mirror)
        )
    return tuple(parts)


def van(rng: np.random.Generator) -> tuple[Solid, ...]:
    """A delivery van, about 5 m long and 2.2 m high."""
    half, width = 0.5 * rng.uniform(4.6, 5.6), 0.5 * rng.uniform(1.8, 2.0)
    height = rng.uniform(1.9, 2.5)
    paint: Colour = _PAINTS[4] if rng.random() < 0.6 else _PAINTS[rng.integers(len(_PAINTS))]
    seed = int(rng.integers(1 << 20))
    body = Material(SurfaceType.CAR_BODY, paint, seed=seed)
    plain = Material(SurfaceType.CAR_BODY, paint, density=0.0, seed=seed)
    bumper = plain if rng.random() < 0.4 else Material(SurfaceType.PLAIN, (0.12, 0.12, 0.12))
    glass = Material(SurfaceType.CAR_GLASS, (0.05, 0.06, 0.07), accent=paint, seed=seed)
    cab = 0.55
    return (
        frustum((0.0, 0.0), (half - 0.02, width), (half, width), (0.22, 0.6), Label.CAR, bumper),
        frustum((0.0, 0.0), (half, width), (half - 0.12, width - 0.03), (0.6, 1.1), Label.CAR, body, (-0.1, 0.0)),
        box((-0.5 * cab - 0.3, 0.0), (half - 0.5 * cab - 0.32, width - 0.03), (1.1, height), Label.CAR, plain),
        frustum(
            (half - cab - 0.75, 0.0),
            (cab + 0.35, width - 0.04),
            (cab, width - 0.12),
            (1.09, height - 0.08),
            Label.CAR,
            glass,
            (-0.38, 0.0),
        ),
        *_wheels(half - 0.9, -half + 0.9, width, 0.34),
    )


def bus(rng: np.random.Generator) -> tuple[Solid, ...]:
    """A single or double decker, 10 m long: a band of glass for every deck."""
    half, width = 5.0, 1.25
    paint: Colour = ((0.62, 0.08, 0.08), (0.16, 0.3, 0.55), (0.85, 0.84, 0.8), (0.2, 0.42, 0.25))[rng.integers(4)]
    seed = int(rng.integers(1 << 20))
    body = Material(SurfaceType.CAR_BODY, paint, seed=seed)
    plain = Material(SurfaceType.CAR_BODY, paint, density=0.0, seed=seed)
    glass = Material(SurfaceType.CAR_GLASS, (0.05, 0.06, 0.07), accent=paint, pitch=1.4, seed=seed)
    parts = [
        box((0.0, 0.0), (half, width), (0.3, 1.2), Label.CAR, body),
        box((0.0, 0.0), (half, width - 0.02), (1.2, 2.3), Label.CAR, glass),
        box((0.0, 0.0), (half, width), (2.3, 2.75), Label.CAR, plain),
        *_wheels(half - 2.2, -half + 2.2, width, 0.45),
    ]
    if rng.random() < 0.6:
        parts.append(box((0.0, 0.0), (half, width - 0.02), (2.75, 3.7), Label.CAR, glass))
        parts.append(box((0.0, 0.0), (half, width), (3.7, 4.2), Label.CAR, plain))
    return tuple(parts)


def vehicle(rng: np.random.Generator) -> tuple[Solid, ...]:
    """Mostly cars, some vans, now and then a bus."""
    kind = rng.random()
    if kind < 0.82:
        return car(rng)
    return van(rng) if kind < 0.95 else bus(rng)


def cyclist(rng: np.random.Generator, phase: float = 0.0) -> tuple[Solid, ...]:
    """A bicycle with its rider, all of class BICYCLIST; `phase` (rad) turns the pedals."""
    frame = Material(SurfaceType.PLAIN, clothing_colour(rng))
    spokes = Material(SurfaceType.SPOKES, (0.08, 0.08, 0.08))
    label = Label.BICYCLIST
    parts: list[Solid] = []
    for x in (-0.52, 0.52):
        parts.append(rod(np.array([x, -0.02, 0.34]), np.array([x, 0.02, 0.34]), 0.34, label, spokes))
    points = {
        "rear": np.array([-0.52, 0.0, 0.34]),
        "crank": np.array([-0.08, 0.0, 0.3]),
        "seat": np.array([-0.22, 0.0, 0.9]),
        "head": np.array([0.38, 0.0, 0.85]),
        "front": np.array([0.52, 0.0, 0.34]),
        "bar": np.array([0.36, 0.0, 1.0]),
    }
    tubes = (
        ("rear", "crank"),
        ("crank", "seat"),
        ("seat", "head"),
        ("crank", "head"),
        ("head", "front"),
        ("head", "bar"),
    )
    parts += [rod(points[a], points[b], 0.022, label, frame) for a, b in tubes]
    parts.append(rod(points["bar"] - (0.0, 0.25, 0.0), points["bar"] + (0.0, 0.25, 0.0), 0.018, label, _RUBBER))
    parts += human_body(rng, label, hip_height=0.95, lean=0.65, phase=phase, seated=True, x=-0.2)
    return tuple(parts)


def parked_bicycle(rng: np.random.Generator) -> tuple[Solid, ...]:
    """A bicycle without a rider; BICYCLIST is the closest class."""
    upright = [part for part in cyclist(rng)[:9] if part.shape is not SolidShape.ELLIPSOID]
    return placed(upright, 0.0, 0.0, math.radians(float(rng.uniform(-10.0, 10.0))))
