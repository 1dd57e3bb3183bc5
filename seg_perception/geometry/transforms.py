"""Rigid transforms.

Names read `a_from_b`: the transform that takes coordinates in frame b to coordinates in frame a. Axes follow REP-103
(x forward, y left, z up; camera optical frames x right, y down, z forward) and frame names REP-105.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seg_perception.errors import GeometryError

MAX_DISTANCE = 1e9
"""m; far beyond map coordinates on Earth (1e7 m), and a grid around it still counts its cells exactly."""

MAX_MOUNT_DISTANCE = 100.0
"""m; no camera is mounted further from base_link."""

_MAX_MOUNT_ANGLE = 6.2832  # rad, one turn; degrees mistaken for radians are mostly larger
_ORTHONORMAL_TOLERANCE = 1e-6
# How far from 1 a quaternion's length may lie: the value of tf2 (QUATERNION_NORMALIZATION_TOLERANCE, buffer_core.cpp).
_QUATERNION_TOLERANCE = 1e-2
# Below this angle sin() in the slerp formula loses digits, and the straight line between the quaternions is as good.
_SMALL_ANGLE = 1e-6


def _is_rotation(a: float, b: float, c: float, d: float, e: float, f: float, g: float, h: float, i: float) -> bool:
    """Whether the rows are orthonormal and right-handed. Plain arithmetic, as numpy is slow on so few numbers."""
    lengths = (a * a + b * b + c * c - 1, d * d + e * e + f * f - 1, g * g + h * h + i * i - 1)
    products = (a * d + b * e + c * f, a * g + b * h + c * i, d * g + e * h + f * i)
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return determinant > 0 and all(abs(error) <= _ORTHONORMAL_TOLERANCE for error in (*lengths, *products))


@dataclass(frozen=True, eq=False)
class Transform:
    """A rotation followed by a translation: p_a = rotation @ p_b + translation.

    Attributes:
        rotation: float64 [3, 3], orthonormal with determinant +1; read-only.
        translation: float64 [3], metres; read-only.

    Raises:
        GeometryError: a number is not finite, a shape is wrong, the translation is too long, or the rotation is not a
            rotation.

    Examples:
        >>> odom_from_base = sp.Transform.from_xyz_rpy(2.0, 1.0, 0.0, 0.0, 0.0, 0.0)
        >>> base_from_lidar = sp.Transform.from_xyz_rpy(0.5, 0.0, 1.2, 0.0, 0.0, 0.0)
        >>> (odom_from_base @ base_from_lidar).translation.tolist()
        [2.5, 1.0, 1.2]
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    def __post_init__(self) -> None:
        rotation = np.array(self.rotation, dtype=np.float64)
        translation = np.array(self.translation, dtype=np.float64)
        if translation.shape != (3,) or not all(map(math.isfinite, translation.tolist())):
            raise GeometryError(f"a translation must be three finite numbers in metres, not {translation.tolist()}.")
        if max(map(abs, translation.tolist())) > MAX_DISTANCE:
            raise GeometryError(f"a translation must lie within ±{MAX_DISTANCE:g} m, not {translation.tolist()}.")
        if rotation.shape != (3, 3) or not _is_rotation(*rotation.ravel().tolist()):
            raise GeometryError(f"a rotation must be an orthonormal 3x3 matrix, not {rotation.tolist()}.")
        for name, array in (("rotation", rotation), ("translation", translation)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def identity(cls) -> Transform:
        """The transform between two frames that coincide."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_xyz_rpy(cls, x: float, y: float, z: float, roll: float, pitch: float, yaw: float) -> Transform:
        """From metres and radians; roll, pitch, yaw about the fixed axes x, y, z in that order (REP-103, as in tf2)."""
        if not all(map(math.isfinite, (roll, pitch, yaw))):
            raise GeometryError(f"roll, pitch and yaw must be finite radians, not {roll}, {pitch}, {yaw}.")
        (sr, cr), (sp, cp), (sy, cy) = ((math.sin(angle), math.cos(angle)) for angle in (roll, pitch, yaw))
        about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        return cls(about_z @ about_y @ about_x, np.array([x, y, z]))

    @classmethod
    def from_quaternion(cls, translation: ArrayLike, quaternion: Sequence[float] | NDArray[np.float64]) -> Transform:
        """From metres [3] and a quaternion (x, y, z, w), which is normalised.

        Raises:
            GeometryError: its length is not 1; an all-zero one comes from a message that was not filled in.
        """
        q = np.asarray(quaternion, dtype=np.float64)
        is_small = q.shape == (4,) and all(abs(value) < 2 for value in q.tolist())  # so that the sum cannot overflow
        length = float(np.linalg.norm(q)) if is_small else math.inf
        if not abs(length - 1.0) <= _QUATERNION_TOLERANCE:
            raise GeometryError(f"a rotation must be a quaternion (x, y, z, w) of length 1, not {q.tolist()}.")
        x, y, z, w = q / length
        rotation = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        return cls(np.array(rotation), np.asarray(translation, dtype=np.float64))

    def quaternion(self) -> NDArray[np.float64]:
        """The rotation as float64 [4] (x, y, z, w), w ≥ 0.

        The symmetric 4x4 matrix q qᵀ is linear in the rotation matrix; its row with the largest diagonal entry is the
        best-conditioned multiple of q (Markley, "Unit Quaternion from Rotation Matrix", J. Guidance 31(2), 2008).
        """
        r = self.rotation
        trace = r[0, 0] + r[1, 1] + r[2, 2]
        outer = np.empty((4, 4))
        outer[:3, :3] = r + r.T + (1 - trace) * np.eye(3)
        outer[3, :3] = outer[:3, 3] = [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]
        outer[3, 3] = 1 + trace
        row = outer[int(np.argmax(np.diag(outer)))]
        unit: NDArray[np.float64] = row / np.linalg.norm(row)
        return -unit if unit[3] < 0 else unit

    def rpy(self) -> tuple[float, float, float]:
        """Roll, pitch and yaw in radians about the fixed axes x, y, z; looking straight up or down, yaw is 0."""
        r = self.rotation
        level = math.hypot(r[0, 0], r[1, 0])
        pitch = math.atan2(-r[2, 0], level)
        if level < 1e-9:
            return math.atan2(-r[1, 2], r[1, 1]), pitch, 0.0
        return math.atan2(r[2, 1], r[2, 2]), pitch, math.atan2(r[1, 0], r[0, 0])

    def inverse(self) -> Transform:
        """`b_from_a` of an `a_from_b`."""
        return Transform(self.rotation.T, -self.rotation.T @ self.translation)

    def __matmul__(self, other: Transform) -> Transform:
        """`a_from_b @ b_from_c` is `a_from_c`."""
        return Transform(self.rotation @ other.rotation, self.rotation @ other.translation + self.translation)

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points in b, [..., 3] in metres, as points in a, float64 [..., 3]."""
        moved: NDArray[np.float64] = points @ self.rotation.T + self.translation
        return moved


# REP-103, "Suffix Frames": optical x (right) is body -y, optical y (down) is body -z, optical z (forward) is body x.
OPTICAL_FROM_BODY = Transform(np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]), np.zeros(3))
BODY_FROM_OPTICAL = OPTICAL_FROM_BODY.inverse()


def mount_to_base_from_optical(x: float, y: float, z: float, roll: float, pitch: float, yaw: float) -> Transform:
    """Extrinsics base_from_optical of a camera whose body (x forward, y left, z up) has this pose in base_link.

    Metres and radians; a positive pitch looks down.

    Raises:
        GeometryError: a number is not finite, or no camera can be mounted so.
    """
    if any(abs(distance) > MAX_MOUNT_DISTANCE for distance in (x, y, z)):
        raise GeometryError(
            f"a camera must be mounted within {MAX_MOUNT_DISTANCE:g} m of base_link, not at ({x:g}, {y:g}, {z:g}); "
            "give metres."
        )
    if any(abs(angle) > _MAX_MOUNT_ANGLE for angle in (roll, pitch, yaw)):
        raise GeometryError(
            f"roll, pitch and yaw of a camera must lie within one turn, not ({roll:g}, {pitch:g}, {yaw:g}); "
            "give radians."
        )
    return Transform.from_xyz_rpy(x, y, z, roll, pitch, yaw) @ BODY_FROM_OPTICAL


def footprint_of(odom_from_base: Transform) -> Transform:
    """odom_from_footprint, the level frame under the robot: the base's origin and yaw, without its roll and pitch.

    Ground is its plane z = 0.
    """
    x, y, z = odom_from_base.translation.tolist()
    return Transform.from_xyz_rpy(x, y, z, 0.0, 0.0, odom_from_base.rpy()[2])


def interpolate(start: Transform, end: Transform, fraction: float) -> Transform:
    """The pose a fraction (0..1) of the way from start to end: translation on a line, rotation at constant rate.

    Rotation is Shoemake's slerp ("Animating Rotation with Quaternion Curves", SIGGRAPH 1985) the short way round.
    """
    translation = (1 - fraction) * start.translation + fraction * end.translation
    q0, q1 = start.quaternion(), end.quaternion()
    cosine = float(q0 @ q1)
    if cosine < 0:
        q1, cosine = -q1, -cosine
    angle = math.acos(min(cosine, 1.0))
    if angle < _SMALL_ANGLE:
        q = (1 - fraction) * q0 + fraction * q1
    else:
        q = (math.sin((1 - fraction) * angle) * q0 + math.sin(fraction * angle) * q1) / math.sin(angle)
    return Transform.from_quaternion(translation, q)
