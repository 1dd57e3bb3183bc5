"""Solids packed into arrays for the ray caster and the shaders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from seg_perception.simulation.world.solids import Colour, Solid, SolidShape

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """S solids, one row each.

    Attributes:
        shape: int8 [S], see Shape.
        label: uint8 [S].
        surface: int8 [S], see Surface.
        centre: float64 [S, 3], m.
        rotation: float64 [S, 3, 3], world from local.
        half: float64 [S, 3], m.
        corners: float64 [S, 8, 3], a box around each solid (its vertices for a frustum), m.
        radius: float64 [S], of a sphere around `centre` that holds the solid, m.
        normals: float64 [S, 6, 3], outward face normals in the world (frusta).
        local_normals: float32 [S, 6, 3], the same in the local frame.
        offsets: float64 [S, 6], normal · (point - centre) <= offset inside (frusta).
        colour: float32 [S, 3], linear light.
        accent: float32 [S, 3], linear light.
        pitch: float32 [S], m.
        storey: float32 [S], m.
        density: float32 [S].
        seed: int64 [S].
    """

    shape: NDArray[np.int8]
    label: NDArray[np.uint8]
    surface: NDArray[np.int8]
    centre: NDArray[np.float64]
    rotation: NDArray[np.float64]
    half: NDArray[np.float64]
    corners: NDArray[np.float64]
    radius: NDArray[np.float64]
    normals: NDArray[np.float64]
    local_normals: F32
    offsets: NDArray[np.float64]
    colour: F32
    accent: F32
    pitch: F32
    storey: F32
    density: F32
    seed: NDArray[np.int64]


def concatenate_scenes(first: Scene, second: Scene) -> Scene:
    """Both scenes as one, the solids of the first in front."""
    pairs = ((getattr(first, field.name), getattr(second, field.name)) for field in fields(Scene))
    return Scene(*(np.concatenate(pair) for pair in pairs))


def linear_light(colours: Sequence[Colour]) -> F32:
    """sRGB colours 0..1 as linear light, float32 [n, 3] (gamma 2.2)."""
    result: F32 = np.array(colours, np.float32).reshape(-1, 3) ** np.float32(2.2)
    return result


def pack_solids(solids: Sequence[Solid]) -> Scene:
    """Solids as a Scene, in the same order."""
    count = len(solids)
    normals = np.zeros((count, 6, 3))
    offsets = np.zeros((count, 6))
    for index, solid in enumerate(solids):
        if solid.shape is SolidShape.FRUSTUM:
            normals[index], offsets[index] = solid.planes()
    centre = np.array([solid.centre for solid in solids], float).reshape(count, 3)
    corners = np.array([solid.corners() for solid in solids]).reshape(count, 8, 3)
    rotation = np.array([solid.rotation for solid in solids]).reshape(count, 3, 3)
    materials = [solid.material for solid in solids]
    return Scene(
        shape=np.array([solid.shape for solid in solids], np.int8),
        label=np.array([solid.label for solid in solids], np.uint8),
        surface=np.array([material.surface for material in materials], np.int8),
        centre=centre,
        rotation=rotation,
        half=np.array([solid.half for solid in solids], float).reshape(count, 3),
        corners=corners,
        radius=np.linalg.norm(corners - centre[:, None], axis=2).max(axis=1, initial=0.0),
        normals=normals @ rotation.transpose(0, 2, 1),
        local_normals=normals.astype(np.float32),
        offsets=offsets,
        colour=linear_light([material.colour for material in materials]),
        accent=linear_light([material.accent for material in materials]),
        pitch=np.array([material.pitch for material in materials], np.float32),
        storey=np.array([material.storey for material in materials], np.float32),
        density=np.array([material.density for material in materials], np.float32),
        seed=np.array([material.seed for material in materials], np.int64),
    )
