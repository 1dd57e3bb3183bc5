"""Points on painted surfaces: what every painter of `paint.py`, `facade.py` and `signs.py` is given and gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from seg_perception.sim.arrays import F32, I8, I64, Floats
from seg_perception.sim.noise import hash01


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
        seed: int64 [n].
    """

    local: F32
    normal: F32
    half: F32
    face: I8
    footprint: F32
    colour: F32
    accent: F32
    pitch: F32
    storey: F32
    seed: I64

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


def matt(albedo: Floats) -> Painted:
    """A surface that mirrors nothing."""
    return np.asarray(albedo, np.float32), np.zeros(len(albedo), np.float32)
