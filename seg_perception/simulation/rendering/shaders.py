"""Which function paints which kind of surface."""

from __future__ import annotations

from seg_perception.simulation.rendering.surface_shaders import (
    Painter,
    bark,
    car_body,
    car_glass,
    foliage,
    plain,
    planks,
    roof,
    sign,
    wheel,
)
from seg_perception.simulation.world.facade import wall
from seg_perception.simulation.world.solids import Surface


def painters() -> dict[Surface, Painter]:
    """The function for each kind of surface."""
    return {
        Surface.PLAIN: plain,
        Surface.CAR_BODY: car_body,
        Surface.CAR_GLASS: car_glass,
        Surface.WHEEL: wheel,
        Surface.WALL: wall,
        Surface.ROOF: roof,
        Surface.FOLIAGE: foliage,
        Surface.BARK: bark,
        Surface.SIGN: sign,
        Surface.RAILING: plain,
        Surface.PLANKS: planks,
        Surface.SPOKES: plain,
    }
