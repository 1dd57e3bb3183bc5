"""Ray casting against the ground plane and the solids: the nearest hit of each pixel.

A solid is tested only inside a rectangle of pixels that is sure to contain it, for any camera model: the image is
cut into tiles, and a tile is dropped when its ray slopes (x/z and y/z, in which every camera sees straight edges
straight) miss those of the solid's corners, or, for a solid that is not wholly in front of the camera, when the
cone of its rays misses the solid's bounding sphere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.simulation.rendering.kernels import tiles_in_slope_range
from seg_perception.simulation.rendering.noise import F32
from seg_perception.simulation.rendering.porous import is_porous, porous_masks
from seg_perception.simulation.world.scene import Scene
from seg_perception.simulation.world.solids import FACE_CURVED, FACE_SIDE, SolidShape

SKY = -1
GROUND = -2
OUTSIDE = -3  # pixels that no ray reaches, such as the corners of a fisheye image

_TILE = 8
_NEAR = 0.05
_HORIZON = 600.0

I32 = NDArray[np.int32]
I8 = NDArray[np.int8]


@dataclass(frozen=True)
class RayTable:
    """The rays of a camera, or of a LiDAR, and the bounds of its tiles; made once per sensor.

    Attributes:
        rays: float32 [H, W, 3], unit, in the sensor's frame: a camera's optical one.
        valid: bool [H, W], pixels that have a ray.
        pixel_angle: median angle between neighbouring rays, rad.
        tile_axis: float64 [ty, tx, 3], middle ray of each tile.
        tile_angle: float64 [ty, tx], largest angle between that and a ray of the tile, rad.
        slopes: float64 [4, ty, tx], least and greatest x/z, least and greatest y/z; infinite where a ray looks
            sideways or back.
    """

    rays: F32
    valid: NDArray[np.bool_]
    pixel_angle: float
    tile_axis: NDArray[np.float64]
    tile_angle: NDArray[np.float64]
    slopes: NDArray[np.float64]

    @classmethod
    def of_camera(cls, camera: Camera) -> RayTable:
        """Compute the table for every pixel centre of `camera`."""
        columns, rows = np.meshgrid(np.arange(camera.width, dtype=float), np.arange(camera.height, dtype=float))
        return cls.of_rays(*camera.rays(np.stack([columns, rows], axis=-1)))

    @classmethod
    def of_rays(cls, rays: NDArray[np.float64], valid: NDArray[np.bool_]) -> RayTable:
        """Compute the table for rays float64 [H, W, 3], neighbours in it being neighbours in space."""
        height, width = valid.shape
        rays = np.where(valid[..., None], rays, (0.0, 0.0, 1.0))
        down, across = -(-height // _TILE), -(-width // _TILE)
        padding = ((0, down * _TILE - height), (0, across * _TILE - width), (0, 0))
        tiles = np.pad(rays, padding, mode="edge").reshape(down, _TILE, across, _TILE, 3).swapaxes(1, 2)
        tiles = tiles.reshape(down, across, _TILE * _TILE, 3)
        axis = tiles.mean(axis=2)
        axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
        angle = np.arccos(np.clip(np.einsum("yxki,yxi->yxk", tiles, axis).min(axis=-1), -1.0, 1.0))
        ahead = np.all(tiles[..., 2] > _NEAR, axis=-1)
        flat = tiles[..., :2] / np.maximum(tiles[..., 2:], _NEAR)
        low, high = flat.min(axis=2), flat.max(axis=2)
        slopes = np.stack([low[..., 0], high[..., 0], low[..., 1], high[..., 1]])
        open_bounds = np.array([-np.inf, np.inf, -np.inf, np.inf])[:, None, None]
        slopes = np.where(ahead, slopes, open_bounds)
        steps = np.linalg.norm(np.diff(rays, axis=1), axis=-1)[valid[:, 1:] & valid[:, :-1]]
        pixel_angle = float(np.median(steps)) if steps.size else 1e-3
        return cls(rays.astype(np.float32), valid, pixel_angle, axis, angle, slopes)


@dataclass(frozen=True)
class RayHits:
    """The nearest hit of each pixel.

    Attributes:
        rays: float32 [H, W, 3], unit, world frame.
        distance: float32 [H, W], m along the ray to the visible surface; inf for sky.
        solid: int32 [H, W], index of that solid, or SKY, GROUND, OUTSIDE.
        face: int8 [H, W], 0..5 as in Solid.planes (4, 5 also the caps of a cylinder), FACE_SIDE, FACE_CURVED.
        outer_distance: as `distance`, but a porous surface (railing, crown) counts as closed.
        outer_solid: as `solid`, likewise.
    """

    rays: F32
    distance: F32
    solid: I32
    face: I8
    outer_distance: F32
    outer_solid: I32


def cast_rays(table: RayTable, scene: Scene, odom_from_optical: Transform) -> RayHits:
    """Find the nearest surface for every pixel.

    Args:
        table: rays of the camera.
        scene: the solids on the ground plane z = 0 of odom.
        odom_from_optical: pose of the camera.

    Returns:
        RayHits, in the camera's image size.
    """
    rays: F32 = table.rays @ odom_from_optical.rotation.T.astype(np.float32)
    origin = odom_from_optical.translation
    with np.errstate(divide="ignore"):
        distance = np.where(rays[..., 2] < 0.0, np.float32(-origin[2]) / rays[..., 2], np.float32(np.inf))
    distance = np.where(distance < _HORIZON, distance, np.float32(np.inf)).astype(np.float32)
    solid = np.where(np.isfinite(distance), GROUND, SKY).astype(np.int32)
    face = np.full(solid.shape, 4, np.int8)
    pixel_windows = _pixel_windows(table, scene, odom_from_optical)
    # No point of a solid is nearer than this: its middle less its bounding radius.
    nearest = np.linalg.norm(scene.centre - origin, axis=1) - scene.radius
    porous = is_porous(scene.surface)
    order = np.lexsort((nearest, porous))
    outer: tuple[F32, I32] | None = None
    for index in order:
        if porous[index] and outer is None:
            outer = distance.copy(), solid.copy()
        top, bottom, left, right = pixel_windows[index]
        window = (slice(top, bottom), slice(left, right))
        if top >= bottom or left >= right or nearest[index] > distance[window].max():
            continue
        found, found_face = _intersect(scene, int(index), rays[window], origin)
        if outer is not None:
            outline, found = _intersect_porous(scene, int(index), found, found_face, rays[window], origin)
            closer = outline < outer[0][window]
            outer[0][window][closer] = outline[closer]
            outer[1][window][closer] = index
        closer = found < distance[window]
        distance[window][closer] = found[closer]
        solid[window][closer] = index
        face[window][closer] = found_face[closer]
    outer_distance, outer_solid = outer if outer is not None else (distance, solid)
    if not table.valid.all():
        for image, value in ((solid, OUTSIDE), (outer_solid, OUTSIDE), (distance, np.inf), (outer_distance, np.inf)):
            image[~table.valid] = value
    return RayHits(rays, distance, solid, face, outer_distance, outer_solid)


def _pixel_windows(table: RayTable, scene: Scene, odom_from_optical: Transform) -> NDArray[np.int64]:
    """Pixel rectangles [S, 4] (top, bottom, left, right) outside which a solid is not visible.

    Solids less than half a pixel wide get an empty one: which of them a pixel's centre hits is chance.
    """
    height, width = table.valid.shape
    result = np.zeros((len(scene.shape), 4), np.int64)
    if not len(scene.shape):
        return result
    corners = (scene.corners - odom_from_optical.translation) @ odom_from_optical.rotation
    middle = (scene.centre - odom_from_optical.translation) @ odom_from_optical.rotation
    radius, distance = scene.radius, np.linalg.norm(middle, axis=1)
    around = distance <= radius
    result[around] = (0, height, 0, width)
    reach = np.arcsin(np.minimum(radius / np.maximum(distance, 1e-9), 1.0))
    # Most of a town is behind the camera: one cone around the whole image drops it before any tile is tested.
    axis = table.tile_axis.mean(axis=(0, 1))
    axis /= max(float(np.linalg.norm(axis)), 1e-9)
    cone = float(np.max(np.arccos(np.clip(table.tile_axis @ axis, -1.0, 1.0)) + table.tile_angle))
    apart = np.arccos(np.clip(middle @ axis / np.maximum(distance, 1e-9), -1.0, 1.0))
    visible = (apart < cone + reach) & (reach > 0.25 * table.pixel_angle)
    ahead = corners[..., 2].min(axis=1) > _NEAR
    straight = np.flatnonzero(~around & visible & ahead)
    flat = corners[straight, :, :2] / corners[straight, :, 2:]
    tiles = tiles_in_slope_range(table.slopes, flat.min(axis=1) - 1e-4, flat.max(axis=1) + 1e-4)
    result[straight] = _TILE * tiles
    for index in np.flatnonzero(~around & visible & ~ahead):
        seen = table.tile_axis @ (middle[index] / distance[index]) > np.cos(
            np.minimum(table.tile_angle + reach[index] + 1e-4, np.pi)
        )
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        if rows.size:
            result[index] = (rows[0] * _TILE, (rows[-1] + 1) * _TILE, columns[0] * _TILE, (columns[-1] + 1) * _TILE)
    result[:, 1] = np.minimum(result[:, 1], height)
    result[:, 3] = np.minimum(result[:, 3], width)
    return result


def _intersect(scene: Scene, index: int, rays: F32, origin: NDArray[np.float64]) -> tuple[F32, I8]:
    """Distance (inf: missed) and face for each ray of a window."""
    if scene.shape[index] == SolidShape.FRUSTUM:
        return _frustum(scene, index, rays, origin)
    return _quadric(scene, index, rays, origin)


def _frustum(scene: Scene, index: int, rays: F32, origin: NDArray[np.float64]) -> tuple[F32, I8]:
    normals = scene.normals[index]
    room = (scene.offsets[index] - normals @ (origin - scene.centre[index])).astype(np.float32)
    enter = np.full(rays.shape[:-1], -np.inf, np.float32)
    leave = np.full(rays.shape[:-1], np.inf, np.float32)
    face = np.zeros(rays.shape[:-1], np.int8)
    slopes = rays @ normals.T.astype(np.float32)
    for side in range(6):
        slope = slopes[..., side]
        # A ray along the face would divide by zero; tilted by 1e-9 it lands far outside or far inside instead.
        slope = np.where(np.abs(slope) < 1e-9, np.float32(1e-9), slope)
        at = room[side] / slope
        if room[side] >= 0.0:  # the camera is on the inner side of this face: it can only be left
            np.minimum(leave, np.where(slope > 0.0, at, np.float32(np.inf)), out=leave)
            continue
        inward = slope < 0.0
        later = inward & (at > enter)
        enter = np.where(later, at, enter)
        face = np.where(later, np.int8(side), face)
        leave = np.where(inward, leave, np.float32(-np.inf))
    hit = (enter < leave) & (enter > _NEAR)
    return np.where(hit, enter, np.float32(np.inf)), face


def _quadric(scene: Scene, index: int, rays: F32, origin: NDArray[np.float64]) -> tuple[F32, I8]:
    rotation, half = scene.rotation[index], scene.half[index]
    # In units of the half sizes both shapes become the unit sphere or the unit cylinder.
    start = ((origin - scene.centre[index]) @ rotation / half).astype(np.float32)
    along = rays @ (rotation / half).astype(np.float32)
    axes = 3 if scene.shape[index] == SolidShape.ELLIPSOID else 2
    flat, flat_start = along[..., :axes], start[:axes]
    a = np.maximum(np.einsum("...i,...i->...", flat, flat), np.float32(1e-12))
    b = flat @ flat_start
    # Distance of the axis from the ray, squared: b² - a·c would cancel for thin rods far away.
    nearest = flat_start - flat * (b / a)[..., None]
    inside = np.float32(1.0) - np.einsum("...i,...i->...", nearest, nearest)
    reach = np.sqrt(np.maximum(inside, 0.0) / a)
    enter, leave = -b / a - reach, -b / a + reach
    face = np.full(enter.shape, FACE_CURVED if axes == 3 else FACE_SIDE, np.int8)
    if axes == 2:
        slope = np.where(np.abs(along[..., 2]) < 1e-9, np.float32(1e-9), along[..., 2])
        first, second = (-1.0 - start[2]) / slope, (1.0 - start[2]) / slope
        cap_enter = np.minimum(first, second)
        leave = np.minimum(leave, np.maximum(first, second))
        through_cap = cap_enter > enter
        face = np.where(through_cap, np.where(slope < 0.0, np.int8(4), np.int8(5)), face)
        enter = np.where(through_cap, cap_enter, enter)
    hit = (inside > 0.0) & (enter < leave) & (enter > _NEAR)
    return np.where(hit, enter, np.float32(np.inf)).astype(np.float32), face


def _intersect_porous(
    scene: Scene, index: int, distance: F32, face: I8, rays: F32, origin: NDArray[np.float64]
) -> tuple[F32, F32]:
    """Distances to the outline and to the filled parts of a porous solid (inf: passed through)."""
    hit = np.isfinite(distance)
    rotation = scene.rotation[index].astype(np.float32)
    along = rays[hit] @ rotation
    local = along * distance[hit][:, None] + ((origin - scene.centre[index]) @ scene.rotation[index]).astype(np.float32)
    within, filled = porous_masks(scene, index, local, along, face[hit])
    outline, stopped = distance.copy(), distance.copy()
    outline[hit] = np.where(within, distance[hit], np.float32(np.inf))
    stopped[hit] = np.where(filled, distance[hit], np.float32(np.inf))
    return outline, stopped
