"""Scenes of convex bodies with exact depth, and what a camera or a LiDAR measures of them.

A body is an intersection of half spaces. A ray enters it at the last of the planes that it crosses inwards. Ground with
a hole is four slabs around a deeper one, a ramp is a wedge, and a table is a slab on legs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform

ROAD, GRASS, BOX = range(3)
NOTHING = 255
FAR = 40.0  # m that the ground reaches
DEEP = 10.0  # m that bodies reach into the ground


@dataclass(frozen=True)
class Body:
    """All points with normal · point <= offset for F planes, and the label that a camera sees."""

    normals: NDArray[np.float64]
    offsets: NDArray[np.float64]
    label: int


def block(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], label: int) -> Body:
    """An upright box between two values of each coordinate, m."""
    low, high = np.array([x, y, z]).T
    return Body(np.vstack([np.eye(3), -np.eye(3)]), np.concatenate([high, -low]), label)


def slope(start: float, angle: float, label: int = ROAD) -> Body:
    """Ground that rises from x = `start` on at an angle, rad; a negative angle falls."""
    normals = np.array([[-np.sin(angle), 0, np.cos(angle)], [-1, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, -1]])
    return Body(normals, np.array([-np.sin(angle) * start, -start, FAR, FAR, FAR, DEEP]), label)


def ground(to: float = FAR, label: int = ROAD) -> Body:
    """Level ground up to x = `to`."""
    return block((-FAR, to), (-FAR, FAR), (-DEEP, 0), label)


def ground_with_hole(x: tuple[float, float], y: tuple[float, float], depth: float) -> list[Body]:
    """Level ground with an upright shaft in it."""
    return [
        ground(x[0]),
        block((x[1], FAR), (-FAR, FAR), (-DEEP, 0), ROAD),
        block(x, (-FAR, y[0]), (-DEEP, 0), ROAD),
        block(x, (y[1], FAR), (-DEEP, 0), ROAD),
        block(x, y, (-DEEP, -depth), ROAD),
    ]


def table(x: tuple[float, float], y: tuple[float, float], height: float, label: int = BOX) -> list[Body]:
    """A slab of 4 cm on four legs of 6 cm, its top at `height`."""
    legs = [
        block((cx - 0.03, cx + 0.03), (cy - 0.03, cy + 0.03), (0, height - 0.04), label)
        for cx in (x[0] + 0.03, x[1] - 0.03)
        for cy in (y[0] + 0.03, y[1] - 0.03)
    ]
    return [block(x, y, (height - 0.04, height), label), *legs]


def cast_rays(
    bodies: list[Body], origin: NDArray[np.float64], rays: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Distance along each ray [..., 3], inf where it hits nothing, and the label of what it hits."""
    nearest = np.full(rays.shape[:-1], np.inf)
    labels = np.full(rays.shape[:-1], NOTHING, np.uint8)
    for body in bodies:
        along, margin = rays @ body.normals.T, body.offsets - body.normals @ origin
        with np.errstate(divide="ignore", invalid="ignore"):
            at = margin / along
        enter = np.where(along < 0, at, np.where((along == 0) & (margin < 0), np.inf, -np.inf)).max(axis=-1)
        leave = np.where(along > 0, at, np.inf).min(axis=-1)
        hit = (enter < leave) & (enter > 0) & (enter < nearest)
        nearest, labels = np.where(hit, enter, nearest), np.where(hit, np.uint8(body.label), labels)
    return nearest, labels


def render_depth(
    bodies: list[Body], camera: Camera, odom_from_optical: Transform
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Depth [H, W] (z in the optical frame, NaN where there is nothing) and labels [H, W]."""
    v, u = np.mgrid[0 : camera.height, 0 : camera.width]
    rays, _ = camera.rays(np.stack([u, v], axis=-1).astype(float))
    distance, labels = cast_rays(bodies, odom_from_optical.translation, rays @ odom_from_optical.rotation.T)
    depth = np.where(np.isfinite(distance), distance * rays[..., 2], np.nan)
    return depth.astype(np.float32), labels


def scan(
    bodies: list[Body], odom_from_sensor: Transform, elevations: NDArray[np.float64], azimuths: NDArray[np.float64]
) -> NDArray[np.float32]:
    """What a spinning LiDAR measures, [elevations * azimuths, 3] in its own frame; NaN where nothing comes back."""
    elevation, azimuth = (angle.ravel() for angle in np.meshgrid(elevations, azimuths, indexing="ij"))
    level = np.cos(elevation)
    rays = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=-1)
    distance, _ = cast_rays(bodies, odom_from_sensor.translation, rays @ odom_from_sensor.rotation.T)
    with np.errstate(invalid="ignore"):
        points = np.where(np.isfinite(distance)[:, np.newaxis], rays * distance[:, np.newaxis], np.nan)
    return points.astype(np.float32)
