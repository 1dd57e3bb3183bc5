"""Street furniture and plants: lamps, signs, traffic lights, bollards, fences, walls, trees and hedges."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from seg_perception.simulation.labels import Label
from seg_perception.simulation.world.solids import (
    Colour,
    Material,
    Solid,
    SurfaceType,
    box,
    cylinder,
    ellipsoid,
    frustum,
    rod,
)

_METALS: tuple[Colour, ...] = ((0.45, 0.47, 0.48), (0.30, 0.32, 0.33), (0.10, 0.11, 0.11), (0.16, 0.22, 0.18))


def _metal(rng: np.random.Generator) -> Material:
    return Material(SurfaceType.PLAIN, _METALS[rng.integers(len(_METALS))])


def street_lamp(rng: np.random.Generator) -> tuple[Solid, ...]:
    """A lamp post of 5 to 9 m whose arm reaches along +x."""
    metal = _metal(rng)
    height, arm = float(rng.uniform(5.0, 9.0)), float(rng.uniform(0.8, 2.2))
    top = np.array([0.0, 0.0, height])
    end = np.array([arm, 0.0, height + rng.uniform(0.0, 0.5)])
    return (
        cylinder((0.0, 0.0), 0.11, (0.0, 1.2), Label.POLE, metal),
        cylinder((0.0, 0.0), 0.07, (1.2, height), Label.POLE, metal),
        rod(top, end, 0.045, Label.POLE, metal),
        ellipsoid((end[0] + 0.25, 0.0, end[2]), (0.4, 0.13, 0.08), Label.POLE, metal),
    )


def bollard(rng: np.random.Generator) -> tuple[Solid, ...]:
    """A knee-high to hip-high post."""
    return (
        cylinder(
            (0.0, 0.0), float(rng.uniform(0.05, 0.1)), (0.0, float(rng.uniform(0.8, 1.1))), Label.POLE, _metal(rng)
        ),
    )


def traffic_sign(rng: np.random.Generator) -> tuple[Solid, ...]:
    """A post with one or two plates that face -x: discs, triangles, rectangles."""
    height = float(rng.uniform(2.2, 3.0))
    parts = [cylinder((0.05, 0.0), 0.035, (0.0, height + 0.4), Label.POLE, _metal(rng))]
    for level in range(1 + int(rng.random() < 0.3)):
        z = height - 0.75 * level
        kind = rng.choice(["disc", "triangle", "plate"])
        seed = int(rng.integers(1 << 20))
        if kind == "disc":
            face = Material(SurfaceType.SIGN, (0.75, 0.07, 0.08), (0.9, 0.9, 0.9), density=0.1, seed=seed)
            if rng.random() < 0.4:
                face = replace(face, colour=(0.05, 0.18, 0.55), density=0.2)
            parts.append(rod(np.array([0.0, 0.0, z]), np.array([-0.03, 0.0, z]), 0.3, Label.SIGN_SYMBOL, face))
        elif kind == "triangle":
            face = Material(SurfaceType.SIGN, (0.75, 0.07, 0.08), (0.9, 0.9, 0.9), density=0.3, seed=seed)
            parts.append(frustum((0.0, 0.0), (0.015, 0.36), (0.015, 0.02), (z - 0.3, z + 0.3), Label.SIGN_SYMBOL, face))
        else:
            colours: tuple[Colour, ...] = ((0.05, 0.18, 0.5), (0.05, 0.3, 0.18), (0.88, 0.88, 0.86), (0.85, 0.7, 0.1))
            pick = int(rng.integers(4))
            ink: Colour = (0.9, 0.9, 0.9) if pick < 2 else (0.08, 0.08, 0.08)
            face = Material(SurfaceType.SIGN, colours[pick], ink, density=0.4, seed=seed)
            half = (0.015, float(rng.uniform(0.25, 0.8)))
            tall = float(rng.uniform(0.15, 0.4))
            parts.append(box((0.0, 0.0), half, (z - tall, z + tall), Label.SIGN_SYMBOL, face))
    return tuple(parts)


def traffic_light(rng: np.random.Generator) -> tuple[Solid, ...]:
    """A post with a signal head facing -x; the head is of class SIGN_SYMBOL."""
    lamps = Material(
        SurfaceType.SIGN, (0.05, 0.05, 0.05), (0.9, 0.1, 0.05), density=0.5, seed=int(rng.integers(1 << 20))
    )
    return (
        cylinder((0.12, 0.0), 0.055, (0.0, 3.4), Label.POLE, _metal(rng)),
        box((0.0, 0.0), (0.1, 0.17), (2.3, 3.3), Label.SIGN_SYMBOL, lamps),
    )


def railing(rng: np.random.Generator, length: float) -> tuple[Solid, ...]:
    """Metal bars along x, `length` m long, centred on the origin."""
    bars = Material(SurfaceType.RAILING, _METALS[rng.integers(len(_METALS))], pitch=float(rng.uniform(0.11, 0.16)))
    return (box((0.0, 0.0), (0.5 * length, 0.03), (0.0, float(rng.uniform(0.9, 1.2))), Label.FENCE, bars),)


def wooden_fence(rng: np.random.Generator, length: float) -> tuple[Solid, ...]:
    """Planks along x, `length` m long."""
    tone = float(rng.uniform(0.25, 0.55))
    planks = Material(
        SurfaceType.PLANKS,
        (tone, 0.8 * tone, 0.6 * tone),
        pitch=float(rng.uniform(0.1, 0.18)),
        seed=int(rng.integers(1 << 20)),
    )
    return (box((0.0, 0.0), (0.5 * length, 0.04), (0.0, float(rng.uniform(1.0, 1.9))), Label.FENCE, planks),)


def garden_wall(rng: np.random.Generator, length: float) -> tuple[Solid, ...]:
    """A low wall along x; walls count as BUILDING."""
    tone = float(rng.uniform(0.35, 0.6))
    brick = Material(SurfaceType.WALL, (tone, 0.72 * tone, 0.6 * tone), seed=int(rng.integers(1 << 20)), density=0.0)
    return (box((0.0, 0.0), (0.5 * length, 0.12), (0.0, float(rng.uniform(0.6, 2.0))), Label.BUILDING, brick),)


def _leaf_colour(rng: np.random.Generator) -> Colour:
    green = float(rng.uniform(0.26, 0.48))
    return (green * float(rng.uniform(0.65, 1.05)), green, green * float(rng.uniform(0.35, 0.7)))


def hedge(rng: np.random.Generator, length: float) -> tuple[Solid, ...]:
    """A clipped hedge along x, of class TREE."""
    leaves = Material(SurfaceType.FOLIAGE, _leaf_colour(rng), pitch=0.12, density=1.0, seed=int(rng.integers(1 << 20)))
    return (box((0.0, 0.0), (0.5 * length, 0.4), (0.0, float(rng.uniform(0.8, 2.2))), Label.TREE, leaves),)


def bush(rng: np.random.Generator) -> tuple[Solid, ...]:
    """Two or three round shrubs."""
    leaves = Material(SurfaceType.FOLIAGE, _leaf_colour(rng), pitch=0.14, density=0.97, seed=int(rng.integers(1 << 20)))
    parts = []
    for _ in range(int(rng.integers(2, 4))):
        size = float(rng.uniform(0.4, 1.1))
        middle = (float(rng.normal(0.0, 0.6)), float(rng.normal(0.0, 0.6)), 0.6 * size)
        parts.append(ellipsoid(middle, (size, size, 0.8 * size), Label.TREE, leaves))
    return tuple(parts)


def tree(rng: np.random.Generator) -> tuple[Solid, ...]:
    """Bare in winter, in leaf, or a conifer; 5 to 14 m."""
    kind = rng.choice(["bare", "leafy", "conifer"], p=[0.4, 0.45, 0.15])
    tone = float(rng.uniform(0.14, 0.32))
    bark = Material(SurfaceType.BARK, (tone, 0.92 * tone, 0.8 * tone), seed=int(rng.integers(1 << 20)))
    height = float(rng.uniform(5.5, 13.0))
    if kind == "conifer":
        return _conifer(rng, height, bark)
    clear = float(rng.uniform(2.3, 3.2))
    radius = 0.02 * height + 0.05
    parts = [
        rod(np.zeros(3), np.array([0.0, 0.0, clear]), radius, Label.TREE, bark),
        rod(
            np.array([0.0, 0.0, clear]),
            np.array([*rng.normal(0.0, 0.3, 2), 0.75 * height]),
            0.6 * radius,
            Label.TREE,
            bark,
        ),
    ]
    spread = 0.28 * height
    colour: Colour = _leaf_colour(rng) if kind == "leafy" else (1.1 * tone, 0.95 * tone, 0.8 * tone)
    density = float(rng.uniform(0.7, 0.95)) if kind == "leafy" else float(rng.uniform(0.2, 0.4))
    leaves = Material(
        SurfaceType.FOLIAGE,
        colour,
        pitch=0.13 if kind == "leafy" else 0.3,
        density=density,
        seed=int(rng.integers(1 << 20)),
    )
    for _ in range(7 if kind == "bare" else 4):
        start = np.array([0.0, 0.0, rng.uniform(clear, max(clear + 0.1, 0.6 * height))])
        angle, reach = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.5, 1.0) * spread
        end = start + reach * np.array([math.cos(angle), math.sin(angle), rng.uniform(0.8, 1.8)])
        parts.append(rod(start, end, 0.3 * radius, Label.TREE, bark))
    low = clear + 0.1
    for _ in range(int(rng.integers(4, 8))):
        size = float(rng.uniform(0.45, 0.8)) * spread
        x, y = rng.normal(0.0, 0.4 * spread, 2)
        z = max(float(rng.uniform(clear + 0.5 * size, height - 0.5 * size)), low + 0.9 * size)
        parts.append(ellipsoid((float(x), float(y), z), (size, size, 0.9 * size), Label.TREE, leaves))
    return tuple(parts)


def _conifer(rng: np.random.Generator, height: float, bark: Material) -> tuple[Solid, ...]:
    green = float(rng.uniform(0.12, 0.22))
    colour: Colour = (0.75 * green, green, 0.7 * green)
    needles = Material(SurfaceType.FOLIAGE, colour, pitch=0.14, density=0.97, seed=int(rng.integers(1 << 20)))
    width = 0.16 * height
    parts = [cylinder((0.0, 0.0), 0.02 * height, (0.0, 0.3 * height), Label.TREE, bark)]
    for level in range(4):
        low, size = (0.12 + 0.2 * level) * height, width * (1.0 - 0.2 * level)
        middle = (0.0, 0.0, low + 0.16 * height)
        parts.append(ellipsoid(middle, (size, size, 0.2 * height), Label.TREE, needles))
    return tuple(parts)
