"""People: legs, hips, torso, arms and a head, standing or walking along x. The feet are on z = 0."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from seg_perception.simulation.labels import Label
from seg_perception.simulation.world.solids import (
    Colour,
    Material,
    Solid,
    SolidShape,
    SurfaceType,
    ellipsoid,
    frustum,
    rod,
)

_CLOTHES: tuple[Colour, ...] = (
    (0.07, 0.07, 0.08),
    (0.10, 0.10, 0.12),
    (0.13, 0.15, 0.20),
    (0.10, 0.13, 0.25),
    (0.18, 0.18, 0.19),
    (0.22, 0.20, 0.17),
    (0.16, 0.20, 0.14),
    (0.30, 0.09, 0.10),
    (0.42, 0.40, 0.37),
    (0.60, 0.60, 0.58),
    (0.20, 0.30, 0.45),
    (0.55, 0.45, 0.15),
)
_SKIN: tuple[Colour, ...] = ((0.80, 0.62, 0.52), (0.72, 0.52, 0.42), (0.50, 0.34, 0.25), (0.32, 0.21, 0.16))
_HAIR: tuple[Colour, ...] = ((0.08, 0.06, 0.05), (0.22, 0.15, 0.10), (0.45, 0.36, 0.24), (0.5, 0.5, 0.5))


def clothing_colour(rng: np.random.Generator) -> Colour:
    """A colour of outdoor clothes; dark ones are the most common."""
    weights = np.linspace(2.0, 0.6, len(_CLOTHES))
    return _CLOTHES[rng.choice(len(_CLOTHES), p=weights / weights.sum())]


def person(rng: np.random.Generator, phase: float = 0.0) -> tuple[Solid, ...]:
    """A pedestrian of 1.1 to 1.95 m; `phase` (rad) is the state of the stride, legs together at 0."""
    scale = float(rng.uniform(0.62, 0.8) if rng.random() < 0.1 else rng.normal(1.0, 0.06))
    parts = human_body(rng, Label.PEDESTRIAN, hip_height=0.9, lean=0.05, phase=phase)
    if rng.random() < 0.35:
        bag = Material(SurfaceType.PLAIN, clothing_colour(rng))
        side = float(rng.choice([-1.0, 1.0]))
        parts.append(ellipsoid((-0.05, side * 0.28, 0.75), (0.16, 0.06, 0.2), Label.PEDESTRIAN, bag))
    # In full stride both feet are higher than when standing: the body is lowered by as much.
    lowest = min(part.centre[2] - part.half[2] for part in parts if part.shape is SolidShape.ELLIPSOID)
    return tuple(scaled(replace(part, centre=part.centre - (0.0, 0.0, lowest)), scale) for part in parts)


def human_body(
    rng: np.random.Generator,
    label: Label,
    hip_height: float,
    lean: float,
    phase: float,
    seated: bool = False,
    x: float = 0.0,
) -> list[Solid]:
    """The parts of a body about 1.75 m tall.

    Args:
        rng: clothes, hair, width.
        label: class of all parts.
        hip_height: of the hips, m.
        lean: of the torso forwards, rad.
        phase: of the stride or the pedals, rad.
        seated: legs bent to pedals and arms to a handlebar instead of swinging.
        x: of the hips, m.

    Returns:
        Solids, torso first.
    """
    coat = Material(SurfaceType.PLAIN, clothing_colour(rng), seed=1)
    trousers = Material(SurfaceType.PLAIN, clothing_colour(rng), seed=2)
    skin = Material(SurfaceType.PLAIN, _SKIN[rng.integers(len(_SKIN))])
    hair = Material(SurfaceType.PLAIN, _HAIR[rng.integers(len(_HAIR))])
    shoe = Material(SurfaceType.PLAIN, (0.06, 0.05, 0.05))
    breadth = float(rng.uniform(0.9, 1.15))
    coat_length = 0.0 if seated else float(rng.choice([0.02, 0.08, 0.3], p=[0.4, 0.4, 0.2]))
    rise = 0.58
    forward = math.tan(lean) * rise
    torso = frustum(
        (x, 0.0),
        (0.12 * breadth, 0.17 * breadth),
        (0.11 * breadth, 0.22 * breadth),
        (hip_height - coat_length, hip_height + 0.52),
        label,
        coat,
        (forward, 0.0),
    )
    shoulders = ellipsoid((x + forward, 0.0, hip_height + 0.5), (0.12, 0.23 * breadth, 0.09), label, coat)
    head_x, head_z = x + forward + 0.03, hip_height + 0.75
    parts = [
        torso,
        shoulders,
        ellipsoid((head_x, 0.0, head_z), (0.095, 0.075, 0.12), label, skin),
        ellipsoid((head_x - 0.025, 0.0, head_z + 0.03), (0.1, 0.085, 0.11), label, hair),
    ]
    for side in (-1.0, 1.0):
        swing = phase + (math.pi if side > 0 else 0.0)
        hip = np.array([x, side * 0.09 * breadth, hip_height])
        shoulder = np.array([x + forward, side * 0.24 * breadth, hip_height + 0.5])
        if seated:
            foot = np.array([0.12 + 0.16 * math.cos(swing), side * 0.1, 0.32 + 0.16 * math.sin(swing)])
            knee = 0.5 * (hip + foot) + (0.2, 0.0, 0.12)
            hand = np.array([0.36, side * 0.22, 1.02])
            elbow = 0.5 * (shoulder + hand) - (0.03, 0.0, 0.08)
        else:
            angle = 0.5 * math.sin(swing)
            knee = hip + 0.45 * np.array([math.sin(angle + 0.12), 0.0, -math.cos(angle)])
            bend = angle - 0.45 * max(0.0, math.cos(swing))
            foot = knee + (hip_height - 0.5) * np.array([math.sin(bend), 0.0, -math.cos(bend)])
            foot[2] = max(foot[2], 0.05)
            elbow = shoulder + 0.28 * np.array([-math.sin(angle), 0.12 * side, -math.cos(angle)])
            hand = elbow + 0.26 * np.array([math.sin(0.3 - angle), 0.0, -math.cos(angle)])
        parts.append(rod(hip, knee, 0.085, label, trousers))
        parts.append(rod(knee, foot, 0.065, label, trousers))
        parts.append(ellipsoid((foot[0] + 0.06, foot[1], foot[2]), (0.14, 0.05, 0.05), label, shoe))
        parts.append(rod(shoulder, elbow, 0.055, label, coat))
        parts.append(rod(elbow, hand, 0.045, label, coat))
        parts.append(ellipsoid((hand[0], hand[1], hand[2]), (0.05, 0.04, 0.06), label, skin))
    return parts


def scaled(solid: Solid, factor: float) -> Solid:
    """The same solid, larger or smaller about the origin."""
    x, y, z = solid.half
    tx, ty, ox, oy = solid.top
    return replace(
        solid,
        centre=solid.centre * factor,
        half=(x * factor, y * factor, z * factor),
        top=(tx * factor, ty * factor, ox * factor, oy * factor),
    )
