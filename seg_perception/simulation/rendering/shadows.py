"""Shadow maps: direct sunlight and ambient occlusion on the ground, and the shadows of buildings.

Three maps of the ground around the camera, in odom. `sunlit` draws the outline of every solid as the sun projects it
onto the ground, which is exact for flat ground. `ambient_occlusion` is the blurred footprint of the solids: it
approximates how much sky light they block. `roofs` holds the height of buildings; rays towards the sun are marched
along it to shade walls, cars and people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.simulation.labels import Label
from seg_perception.simulation.rendering.noise import F32
from seg_perception.simulation.rendering.porous import is_porous
from seg_perception.simulation.world.scene import Scene
from seg_perception.simulation.world.solids import SolidShape
from seg_perception.simulation.world.world import World

F64 = NDArray[np.float64]

_SIZE = 120.0  # m, side of the maps
_FINE = 0.125  # m, cell of the shadow map
_COARSE = 0.5  # m, cell of the roof map
_STEPS = 14
_FRACTION = 4  # bits: cv2 draws polygons with sub-pixel corners when given their number


@dataclass(frozen=True)
class ShadowMaps:
    """The maps and their position.

    Attributes:
        origin: float64 [2], x, y of the corner with least x and y, m.
        towards_sun: float64 [3], unit.
        sunlit: float32 [n, n], 1 in the sun, 0 in the shade, cells of 0.125 m.
        ambient_occlusion: float32 [n, n], 0 in the open, 1 under a solid, same cells.
        roofs: float32 [m, m], height of buildings, m, cells of 0.5 m.
    """

    origin: F64
    towards_sun: F64
    sunlit: F32
    ambient_occlusion: F32
    roofs: F32

    def at_ground(self, x: F32, y: F32) -> tuple[F32, F32]:
        """Sunlit and ambient occlusion at points of the ground (m); outside the maps everything is in the open sun."""
        column, row = (x - self.origin[0]) / _FINE - 0.5, (y - self.origin[1]) / _FINE - 0.5
        return _sample(self.sunlit, column, row, 1.0), _sample(self.ambient_occlusion, column, row, 0.0)

    def sunlit_above_roofs(self, points: F32) -> F32:
        """1 where buildings leave points float32 [n, 3] (odom, m) in the sun, 0 where they shade them."""
        lit = np.ones(len(points), np.float32)
        sun = self.towards_sun.astype(np.float32)
        for reach in np.geomspace(0.9, 60.0, _STEPS):
            at = points + sun * np.float32(reach)
            column, row = (at[:, 0] - self.origin[0]) / _COARSE - 0.5, (at[:, 1] - self.origin[1]) / _COARSE - 0.5
            lit *= _sample(self.roofs, column, row, 0.0) < at[:, 2]
        return lit


def _sample(image: F32, column: F32, row: F32, outside: float) -> F32:
    count = column.size
    width = 512
    rows = -(-count // width)
    maps = np.full((2, rows * width), -1.0e4, np.float32)
    maps[0, :count], maps[1, :count] = column, row
    if not count:
        return np.zeros(0, np.float32)
    folded = maps.reshape(2, rows, width)
    values = cv2.remap(
        image, folded[0], folded[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(outside,)
    )
    return np.asarray(values.ravel()[:count], np.float32)


def shadow_maps(world: World, camera_xy: F64, ahead: F64) -> ShadowMaps:
    """Draw the maps for a world.

    Args:
        world: solids and the sun.
        camera_xy: float64 [2], position of the camera, m.
        ahead: float64 [2], viewing direction of the camera; most of the maps lies on that side.

    Returns:
        ShadowMaps.
    """
    sun = world.conditions.towards_sun()
    center = camera_xy + ahead / max(float(np.linalg.norm(ahead)), 1e-9) * 0.38 * _SIZE
    # Whole coarse cells, so that the pattern of the map does not crawl as the camera moves.
    origin = np.floor((center - 0.5 * _SIZE) / _COARSE) * _COARSE
    fine, coarse = int(_SIZE / _FINE), int(_SIZE / _COARSE)
    shade = np.zeros((fine, fine), np.uint8)
    crowns = np.zeros((fine, fine), np.uint8)
    near = np.zeros((fine, fine), np.uint8)
    roofs = np.zeros((coarse, coarse), np.float32)
    scene = world.scene
    low, high = scene.corners[..., 2].min(axis=1), scene.corners[..., 2].max(axis=1)
    within = np.all(np.abs(scene.centre[:, :2] - center) < 0.5 * _SIZE + 25.0, axis=1)
    wide = scene.half.max(axis=1) > 0.12  # the shadows of hands and wing mirrors are negligible
    shapes = _silhouettes(scene)
    along_sun = _texels(shapes[..., :2] - shapes[..., 2:] * (sun[:2] / sun[2]), origin, _FINE)
    footprints, outlines = (_texels(shapes[..., :2], origin, cell) for cell in (_FINE, _COARSE))
    porous = is_porous(scene.surface)
    strength = (255 * np.clip(scene.density, 0.0, 1.0)).astype(int)
    for index in np.flatnonzero(within & wide)[np.argsort(high[within & wide])]:
        if world.conditions.sun > 0.0:
            leaky = bool(porous[index])
            _fill(crowns if leaky else shade, along_sun[index], int(strength[index]) if leaky else 255)
        if low[index] < 1.0:
            _fill(near, footprints[index], 255)
        if scene.label[index] == Label.BUILDING:
            _fill(roofs, outlines[index], float(high[index]))
    dark = np.maximum(shade.astype(np.float32), 0.75 * crowns.astype(np.float32)) / 255.0
    sunlit = 1.0 - cv2.GaussianBlur(dark, (5, 5), 0)
    ambient_occlusion = cv2.blur(cv2.blur(near, (7, 7)), (7, 7)).astype(np.float32) / 255.0
    return ShadowMaps(origin, sun, np.asarray(sunlit, np.float32), np.asarray(ambient_occlusion, np.float32), roofs)


def _silhouettes(scene: Scene) -> F64:
    """Points [S, 16, 3] whose convex hull is close to each solid (exact for frusta), in odom, m."""
    angles = np.arange(8) * (math.pi / 4.0)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rims = np.concatenate([np.insert(ring, 2, -1.0, axis=1), np.insert(ring, 2, 1.0, axis=1)])
    ball = np.concatenate([np.insert(ring, 2, 0.0, axis=1), np.insert(0.7 * ring, 2, 0.7, axis=1)])
    unit = np.where((scene.shape == SolidShape.ELLIPSOID)[:, None, None], ball, rims)
    curved = np.einsum("sij,skj->ski", scene.rotation, unit * scene.half[:, None]) + scene.centre[:, None]
    flat = np.concatenate([scene.corners, scene.corners], axis=1)
    return np.where((scene.shape == SolidShape.FRUSTUM)[:, None, None], flat, curved)


def _texels(points: F64, origin: F64, cell: float) -> NDArray[np.int32]:
    """Points [..., 2] (odom, m) in cells of a map, with `_FRACTION` bits behind the point."""
    scaled = np.round(((points - origin) / cell - 0.5) * 2.0**_FRACTION)
    return np.clip(scaled, -1e8, 1e8).astype(np.int32)


def _fill(image: NDArray[Any], texels: NDArray[np.int32], value: float) -> None:
    """Fill the convex hull of points [n, 2]."""
    cv2.fillConvexPoly(image, cv2.convexHull(texels), (value,), lineType=cv2.LINE_8, shift=_FRACTION)
