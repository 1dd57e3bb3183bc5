"""A spinning LiDAR in the simulated world: exact distances, closed surfaces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.transforms import Transform
from seg_perception.simulation.rendering.raycast import RayTable, cast_rays
from seg_perception.simulation.world.world import World


@dataclass(frozen=True)
class Lidar:
    """The pattern of a LiDAR whose axis is its frame's z.

    Attributes:
        beams: number of them, evenly spread.
        lowest, highest: their elevations, rad.
        columns: directions of a full turn.
        max_range: m; the range limit.
    """

    beams: int
    lowest: float
    highest: float
    columns: int
    max_range: float


SCANNER = Lidar(beams=64, lowest=math.radians(-35.0), highest=math.radians(10.0), columns=1024, max_range=40.0)
"""Much like the 64-beam sensors that small robots carry."""


# The ray caster skips solids outside the view of a ray table. One table of a full turn would skip none.
_SECTORS = 16


@lru_cache(maxsize=2)
def _ray_tables(lidar: Lidar) -> tuple[RayTable, ...]:
    elevation = np.linspace(lidar.highest, lidar.lowest, lidar.beams)[:, np.newaxis]
    azimuth = math.pi - 2 * math.pi * (np.arange(lidar.columns) + 0.5) / lidar.columns
    level = np.cos(elevation)
    parts = np.broadcast_arrays(level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation))
    sectors = np.array_split(np.stack(parts, axis=-1), _SECTORS, axis=1)
    return tuple(RayTable.of_rays(rays, np.ones(rays.shape[:2], np.bool_)) for rays in sectors)


def scan(world: World, lidar: Lidar, odom_from_lidar: Transform) -> NDArray[np.float32]:
    """One turn, all of it at one moment.

    Railings, bicycle wheels and tree crowns count as closed surfaces, as they do in a view's depth.

    Args:
        world: what the rays hit.
        lidar: the pattern.
        odom_from_lidar: pose of the sensor.

    Returns:
        float32 [N, 3], the returns, in the sensor's frame, m.
    """
    points = []
    for table in _ray_tables(lidar):
        distance = cast_rays(table, world.scene, odom_from_lidar).outer_distance
        back = distance < lidar.max_range
        points.append(table.rays[back] * distance[back][:, np.newaxis])
    return np.concatenate(points).astype(np.float32)
