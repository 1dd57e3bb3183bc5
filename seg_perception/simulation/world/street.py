"""The ground of the simulated world: a gently winding street with pavements, verges, side roads and markings.

Street coordinates (a Frenet frame): s runs along the street, d to the left of its centre line. The centre line is
y = c(x), a sum of two sines; s = x and d = (y - c(x)) / sqrt(1 + c'(x)²), which is the distance to the tangent at x.
For the slopes used here (below 0.15) that is the true distance to within 1 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from seg_perception.simulation.labels import Label

F64 = NDArray[np.float64]


class Zone(IntEnum):
    """What a piece of ground is made of."""

    ASPHALT = 0
    SLABS = 1
    GRASS = 2
    FOOTPATH = 3


ZONE_LABEL: dict[Zone, Label] = {
    Zone.ASPHALT: Label.ROAD,
    Zone.SLABS: Label.PAVEMENT,
    Zone.GRASS: Label.GRASS,
    Zone.FOOTPATH: Label.PAVEMENT,
}


@dataclass(frozen=True)
class Side:
    """One side of the street, from the road outwards. Widths in m.

    Attributes:
        road: half width of the road on this side.
        verge: grass between kerb and pavement, 0 for none.
        pavement: width of the pavement.
        paving: its material.
        beyond: ground behind the pavement.
    """

    road: float
    verge: float
    pavement: float
    paving: Zone
    beyond: Zone

    @property
    def house_line(self) -> float:
        """Distance of the pavement's outer edge from the centre line, m."""
        return self.road + self.verge + self.pavement


@dataclass(frozen=True)
class Junction:
    """A side road: centre along the street, half width (m), and which sides it opens to (+1 left, -1 right, 0 both)."""

    s: float
    half_width: float
    side: int

    def opens(self, left: bool) -> bool:
        """Whether the side road meets the given side of the street."""
        return self.side == 0 or (self.side > 0) == left


@dataclass(frozen=True)
class Markings:
    """Paint on the road.

    Attributes:
        centre: "none", "dashed", "solid" or "double".
        edge: "none", "white", "yellow" or "double_yellow".
        lanes: further dashed lines at these d, m.
        crossings: s of zebra crossings, m.
        wear: share of the paint that is worn off, 0..1.
    """

    centre: str = "dashed"
    edge: str = "none"
    lanes: tuple[float, ...] = ()
    crossings: tuple[float, ...] = ()
    wear: float = 0.3


@dataclass(frozen=True)
class Street:
    """The whole ground.

    Attributes:
        left: side at positive d.
        right: side at negative d.
        waves: (amplitude m, wavelength m, phase rad) of the centre line's sines.
        junctions: side roads.
        markings: paint.
        seed: of the ground's textures.
    """

    left: Side
    right: Side
    waves: tuple[tuple[float, float, float], ...] = ()
    junctions: tuple[Junction, ...] = ()
    markings: Markings = Markings()
    seed: int = 0

    def centre_line(self, x: F64) -> tuple[F64, F64]:
        """y (m) and slope dy/dx of the centre line at x (m)."""
        y, slope = np.zeros_like(x, dtype=float), np.zeros_like(x, dtype=float)
        for amplitude, wavelength, phase in self.waves:
            rate = 2.0 * math.pi / wavelength
            y = y + amplitude * np.sin(rate * x + phase)
            slope = slope + amplitude * rate * np.cos(rate * x + phase)
        return y, slope

    def to_street(self, x: F64, y: F64) -> tuple[F64, F64]:
        """Street coordinates s, d (m) of points x, y of odom (m)."""
        centre, slope = self.centre_line(x)
        return x, (y - centre) / np.sqrt(1.0 + slope**2)

    def pose(self, s: float, d: float) -> tuple[float, float, float]:
        """x, y (m) and heading (rad) in odom of the point s, d, looking along the street."""
        centre, slope = self.centre_line(np.array(s))
        return s, float(centre + d * math.sqrt(1.0 + float(slope) ** 2)), math.atan(float(slope))

    def zones(self, s: F64, d: F64) -> NDArray[np.uint8]:
        """Zone (uint8) at street coordinates s, d (m)."""
        result = np.empty(s.shape, np.uint8)
        for side, here in ((self.left, d >= 0.0), (self.right, d < 0.0)):
            away = np.abs(d)
            zone = np.full(s.shape, int(side.beyond), np.uint8)
            zone[away < side.house_line] = side.paving
            zone[away < side.road + side.verge] = Zone.GRASS
            for junction in self.junctions:
                if junction.opens(left=side is self.left):
                    along = np.abs(s - junction.s)
                    zone[(along < junction.half_width + 2.5) & (away < side.house_line + 40.0)] = side.paving
                    zone[along < junction.half_width + self._corner(side, away)] = Zone.ASPHALT
            zone[away < side.road] = Zone.ASPHALT
            result[here] = zone[here]
        return result

    def _corner(self, side: Side, away: F64) -> F64:
        """Extra half width of a side road near the kerb: the quarter circle (radius 4 m) of its corner."""
        radius = 4.0
        inside = np.clip(away - side.road, 0.0, radius)
        corner: F64 = radius - np.sqrt(radius**2 - (radius - inside) ** 2)
        return corner
