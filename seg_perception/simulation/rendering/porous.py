"""Porous surfaces, which rays pass in part: railings, bicycle wheels and tree crowns.

Their holes show what is behind, but labels and depth treat the outline as closed, as people who label street
scenes do. Only the frayed outer edge of a crown is open for labels too: it belongs to the shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.simulation.rendering.noise import F32, value_noise
from seg_perception.simulation.world.scene import Scene
from seg_perception.simulation.world.solids import FACE_CURVED, SurfaceType

_POROUS = (SurfaceType.FOLIAGE, SurfaceType.RAILING, SurfaceType.SPOKES)


def is_porous(surface: NDArray[np.int8]) -> NDArray[np.bool_]:
    """bool [S]: solids whose surface has holes."""
    return np.isin(surface, [int(kind) for kind in _POROUS])


def porous_masks(
    scene: Scene, index: int, local: F32, rays: F32, face: NDArray[np.int8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where a porous solid counts as closed, and where it really stops the ray.

    Args:
        scene: the solids.
        index: the porous one.
        local: float32 [n, 3], hit points in its local frame, m.
        rays: float32 [n, 3], unit rays in the same frame.
        face: int8 [n], face of each hit.

    Returns:
        Two bool [n]: within the outline (for labels and depth), and filled (for colour); filled implies outline.
    """
    surface = scene.surface[index]
    half = scene.half[index].astype(np.float32)
    if surface == SurfaceType.RAILING:
        return np.ones(len(local), np.bool_), _bars(local, half, float(scene.pitch[index]))
    if surface == SurfaceType.SPOKES:
        return np.ones(len(local), np.bool_), _wheel(local, half, face)
    size, density, seed = float(scene.pitch[index]), float(scene.density[index]), float(scene.seed[index] % 97)
    outline = _frayed(local, rays, half, face, size, seed)
    return outline, outline & (
        _leaves(local, size, density, seed) if density > 0.5 else _twigs(local, size, density, seed)
    )


def _bars(local: F32, half: F32, pitch: float) -> NDArray[np.bool_]:
    bars = (np.mod(local[:, 0], pitch) < 0.18 * pitch) & (local[:, 2] > -half[2] + 0.15)
    posts = np.mod(local[:, 0] + 0.04, 2.0) < 0.08
    rails = (local[:, 2] > half[2] - 0.06) | (np.abs(local[:, 2] + half[2] - 0.18) < 0.025)
    return np.asarray(bars | posts | rails)


def _wheel(local: F32, half: F32, face: NDArray[np.int8]) -> NDArray[np.bool_]:
    radius = np.hypot(local[:, 0], local[:, 1]) / half[0]
    spokes = np.abs(np.sin(np.arctan2(local[:, 1], local[:, 0]) * 9.0)) < 0.2
    return np.asarray((radius > 0.86) | (radius < 0.12) | spokes)


def _frayed(local: F32, rays: F32, half: F32, face: NDArray[np.int8], size: float, seed: float) -> NDArray[np.bool_]:
    """Near the silhouette only the tips of the noise reach out, which frays the edge of an otherwise smooth crown."""
    x, y, z = local.T / np.float32(size)
    mixed = 0.4 * value_noise(0.15 * (x + 0.6 * y), 0.15 * (z + 0.5 * y), seed)
    mixed += 0.6 * value_noise(0.8 * x - 0.6 * y, 0.8 * z + 0.3 * x, seed + 7.0)
    normal = local / half**2
    grazing = np.abs(np.einsum("ni,ni->n", normal, rays)) / np.linalg.norm(normal, axis=1)
    return np.asarray((face != FACE_CURVED) | (grazing > 1.5 * mixed - 0.3))


def _leaves(local: F32, size: float, density: float, seed: float) -> NDArray[np.bool_]:
    x, y, z = local.T / np.float32(size)
    mixed = 0.45 * value_noise(0.2 * (x + 0.6 * y), 0.2 * (z + 0.5 * y), seed + 3.0)
    mixed += 0.55 * value_noise(x - 0.7 * y, z + 0.4 * x, seed + 5.0)
    return np.asarray(mixed < 0.1 + 0.9 * density)


def _twigs(local: F32, size: float, density: float, seed: float) -> NDArray[np.bool_]:
    """Thin curved lines where a noise passes through its middle, at two sizes; they rise more than they spread."""
    x, y, z = local.T / np.float32(size)
    coarse = value_noise(0.5 * x - 0.35 * y, 0.22 * z + 0.1 * x, seed) - 0.5
    fine = value_noise(1.3 * (x + 0.8 * y), 0.6 * z - 0.4 * x, seed + 5.0) - 0.5
    return np.asarray((np.abs(coarse) < 0.12 * density) | (np.abs(fine) < 0.25 * density))
