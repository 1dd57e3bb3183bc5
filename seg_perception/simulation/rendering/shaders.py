"""The shader of each surface type."""

from __future__ import annotations

from seg_perception.simulation.rendering.surface_shaders import (
    Shader,
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
from seg_perception.simulation.rendering.wall_shader import wall
from seg_perception.simulation.world.solids import SurfaceType


def surface_shaders() -> dict[SurfaceType, Shader]:
    """The shader of each surface type."""
    return {
        SurfaceType.PLAIN: plain,
        SurfaceType.CAR_BODY: car_body,
        SurfaceType.CAR_GLASS: car_glass,
        SurfaceType.WHEEL: wheel,
        SurfaceType.WALL: wall,
        SurfaceType.ROOF: roof,
        SurfaceType.FOLIAGE: foliage,
        SurfaceType.BARK: bark,
        SurfaceType.SIGN: sign,
        SurfaceType.RAILING: plain,
        SurfaceType.PLANKS: planks,
        SurfaceType.SPOKES: plain,
    }
