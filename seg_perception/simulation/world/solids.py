"""The three convex solids of the world: frusta (boxes, roofs, limbs), cylinders and ellipsoids.

A ray enters and leaves each of them once. Their outline under any linear projection is convex as well: from above it
is the footprint, along the sun it is the shadow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.simulation.labels import Label

F64 = NDArray[np.float64]
Colour = tuple[float, float, float]

FACE_SIDE = 6  # of a cylinder; 0..5 are the faces of Solid.planes, of which 4 and 5 are also a cylinder's caps
FACE_CURVED = 7  # the whole of an ellipsoid

_CURVE_SIDES = 48
_FROM_ABOVE: F64 = np.eye(3)[:2]


class SolidShape(IntEnum):
    """The shape of a solid; the constructors below define its size."""

    FRUSTUM = 0
    CYLINDER = 1
    ELLIPSOID = 2


class SurfaceType(IntEnum):
    """The kind of surface; `rendering.shaders` has a shader for each."""

    PLAIN = 0
    CAR_BODY = 1
    CAR_GLASS = 2
    WHEEL = 3
    WALL = 4
    ROOF = 5
    FOLIAGE = 6
    BARK = 7
    SIGN = 8
    RAILING = 9
    PLANKS = 10
    SPOKES = 11


@dataclass(frozen=True)
class Material:
    """Appearance of a solid.

    Attributes:
        surface: the pattern.
        colour: main colour, sRGB 0..1.
        accent: second colour of the pattern (window frames, lamps, sign face), sRGB 0..1.
        pitch: horizontal period of the pattern, m (window axis, plank, railing bar); 0 for none.
        storey: vertical period of the pattern, m; 0 for none.
        density: share of a porous surface that is filled, 0..1, or a style number's fraction for walls and signs.
        seed: makes two objects of the same material look different.
    """

    surface: SurfaceType
    colour: Colour
    accent: Colour = (1.0, 1.0, 1.0)
    pitch: float = 0.0
    storey: float = 0.0
    density: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Solid:
    """One convex solid.

    Attributes:
        shape: which of the three.
        centre: float64 [3], origin of the local frame in the world, m.
        rotation: float64 [3, 3], world from local.
        half: half sizes, m: of the bounding box of a frustum; radius, radius, half height; semi-axes.
        label: its class.
        material: its appearance.
        top: frusta only: half sizes x, y of the upper face and its shift x, y, m.
    """

    shape: SolidShape
    centre: F64
    rotation: F64
    half: tuple[float, float, float]
    label: Label
    material: Material
    top: tuple[float, float, float, float] = field(default=(0.0, 0.0, 0.0, 0.0))

    def corners(self) -> F64:
        """float64 [8, 3]: vertices of a frustum, or of the box around a curved solid, in the world, m."""
        x, y, z = self.half
        bottom = np.array([(x, y, -z), (-x, y, -z), (-x, -y, -z), (x, -y, -z)])
        if self.shape is SolidShape.FRUSTUM:
            tx, ty, ox, oy = self.top
            upper = np.array(
                [(ox + tx, oy + ty, z), (ox - tx, oy + ty, z), (ox - tx, oy - ty, z), (ox + tx, oy - ty, z)]
            )
        else:
            upper = bottom * (1.0, 1.0, -1.0)
        local = np.concatenate([bottom, upper])
        result: F64 = local @ self.rotation.T + self.centre
        return result

    def planes(self) -> tuple[F64, F64]:
        """Faces of a frustum in its local frame, in the order +x, -x, +y, -y, +z, -z.

        Returns:
            Outward unit normals float64 [6, 3] and offsets float64 [6]; inside is normal · point <= offset.
        """
        x, y, z = self.half
        tx, ty, ox, oy = self.top
        height = 2.0 * z
        normals = np.array(
            [
                (height, 0.0, x - (ox + tx)),
                (-height, 0.0, x + (ox - tx)),
                (0.0, height, y - (oy + ty)),
                (0.0, -height, y + (oy - ty)),
                (0.0, 0.0, 1.0),
                (0.0, 0.0, -1.0),
            ]
        )
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        on_face = np.array([(x, y, -z), (-x, y, -z), (x, y, -z), (x, -y, -z), (ox, oy, z), (0.0, 0.0, -z)])
        offsets: F64 = np.einsum("fi,fi->f", normals, on_face)
        return normals, offsets

    def outline(self, projection: F64 = _FROM_ABOVE) -> F64:
        """Convex outline of the solid under a linear projection to the plane.

        Args:
            projection: float64 [2, 3]; the default looks straight down and gives the footprint.

        Returns:
            Polygon float64 [n, 2], m, counter-clockwise. Exact for frusta; curved solids get a polygon of 48
            sides drawn around the curve (at most 0.3 % larger), so a footprint never understates.
        """
        if self.shape is SolidShape.FRUSTUM:
            return _hull(self.corners() @ projection.T)
        angles = (np.arange(_CURVE_SIDES) + 0.5) * (2.0 * math.pi / _CURVE_SIDES)
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1) / math.cos(math.pi / _CURVE_SIDES)
        linear = projection @ self.rotation * np.array(self.half)
        middle = projection @ self.centre
        if self.shape is SolidShape.ELLIPSOID:
            # The image of the unit ball under a 2x3 matrix A is the ellipse L·circle with L·Lᵀ = A·Aᵀ.
            values, vectors = np.linalg.eigh(linear @ linear.T)
            return _hull(circle @ (vectors * np.sqrt(np.maximum(values, 0.0))).T + middle)
        rim = circle @ linear[:, :2].T
        return _hull(np.concatenate([rim + linear[:, 2], rim - linear[:, 2]]) + middle)


def _hull(points: F64) -> F64:
    # cv2.convexHull works in float32; the shift to the middle keeps millimetres far from the origin, and only
    # the indices are used, so the vertices themselves stay exact.
    middle = points.mean(axis=0)
    order = cv2.convexHull((points - middle).astype(np.float32), clockwise=False, returnPoints=False).ravel()
    polygon: F64 = points[order]
    x, y = (polygon - middle).T
    area = float(np.dot(x, np.append(y[1:], y[0])) - np.dot(y, np.append(x[1:], x[0])))
    return polygon if area >= 0.0 else polygon[::-1]


def frustum(
    centre: tuple[float, float],
    bottom: tuple[float, float],
    top: tuple[float, float],
    z: tuple[float, float],
    label: Label,
    material: Material,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Solid:
    """A block with a rectangular foot and a rectangular (or ridge-like, zero wide) top.

    Args:
        centre: middle of the foot x, y, m.
        bottom: half sizes of the foot x, y, m.
        top: half sizes of the top x, y, m.
        z: height of foot and top, m.
        label: class.
        material: appearance.
        shift: of the top's middle against the foot's, m.

    Returns:
        The solid, upright and not turned.
    """
    position = np.array([centre[0], centre[1], 0.5 * (z[0] + z[1])])
    half = (bottom[0], bottom[1], 0.5 * (z[1] - z[0]))
    return Solid(SolidShape.FRUSTUM, position, np.eye(3), half, label, material, (*top, *shift))


def box(
    centre: tuple[float, float], half: tuple[float, float], z: tuple[float, float], label: Label, material: Material
) -> Solid:
    """An upright box: middle x, y, half sizes x, y, and height of foot and top, all m."""
    return frustum(centre, half, half, z, label, material)


def cylinder(
    centre: tuple[float, float], radius: float, z: tuple[float, float], label: Label, material: Material
) -> Solid:
    """An upright cylinder: middle x, y, radius, and height of foot and top, all m."""
    position = np.array([centre[0], centre[1], 0.5 * (z[0] + z[1])])
    return Solid(SolidShape.CYLINDER, position, np.eye(3), (radius, radius, 0.5 * (z[1] - z[0])), label, material)


def rod(start: F64, end: F64, radius: float, label: Label, material: Material) -> Solid:
    """A cylinder between two points of the world, m: limbs, branches, lamp arms, axles."""
    along = end - start
    length = float(np.linalg.norm(along))
    axis = along / length
    x, y, z = axis.tolist()
    # Written out: numpy's cross product of two single vectors would take longer than the rest of the town.
    sx, sy, sz = (0.0, -z, y) if abs(x) < 0.9 else (z, 0.0, -x)
    size = math.sqrt(sx * sx + sy * sy + sz * sz)
    sx, sy, sz = sx / size, sy / size, sz / size
    rotation = np.array([(sx, y * sz - z * sy, x), (sy, z * sx - x * sz, y), (sz, x * sy - y * sx, z)])
    return Solid(SolidShape.CYLINDER, 0.5 * (start + end), rotation, (radius, radius, 0.5 * length), label, material)


def ellipsoid(
    centre: tuple[float, float, float], half: tuple[float, float, float], label: Label, material: Material
) -> Solid:
    """An upright ellipsoid: middle and semi-axes, m."""
    return Solid(SolidShape.ELLIPSOID, np.array(centre, float), np.eye(3), half, label, material)


def placed(solids: Iterable[Solid], x: float, y: float, yaw: float) -> tuple[Solid, ...]:
    """The same solids, turned by `yaw` (rad) about the world's z axis and then moved by x, y (m)."""
    c, s = math.cos(yaw), math.sin(yaw)
    turn = np.array([(c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)])
    shift = np.array([x, y, 0.0])
    return tuple(replace(part, centre=turn @ part.centre + shift, rotation=turn @ part.rotation) for part in solids)
