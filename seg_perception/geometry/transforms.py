"""Rigid transforms and a time-indexed transform tree that needs no ROS.

Names read `a_from_b`: the transform that takes coordinates in frame b to coordinates in frame a. Axes follow REP-103
(x forward, y left, z up; camera optical frames x right, y down, z forward) and frame names REP-105.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seg_perception.errors import GeometryError

_ORTHONORMAL_TOLERANCE = 1e-6
# How far from 1 a quaternion's length may lie: the value of tf2 (QUATERNION_NORMALIZATION_TOLERANCE, buffer_core.cpp).
_QUATERNION_TOLERANCE = 1e-2
# Below this angle sin() in the slerp formula loses digits, and the straight line between the quaternions is as good.
_SMALL_ANGLE = 1e-6


def _is_rotation(a: float, b: float, c: float, d: float, e: float, f: float, g: float, h: float, i: float) -> bool:
    """Whether the rows are orthonormal and right-handed. Each frame asks some ten times, so not by numpy."""
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
        GeometryError: a number is not finite, a shape is wrong, or the rotation is not a rotation.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    def __post_init__(self) -> None:
        rotation = np.array(self.rotation, dtype=np.float64)
        translation = np.array(self.translation, dtype=np.float64)
        if translation.shape != (3,) or not all(map(math.isfinite, translation.tolist())):
            raise GeometryError(f"a translation must be three finite numbers in metres, not {translation.tolist()}.")
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
            GeometryError: its length is not 1; an all-zero one is from a message that nobody filled in.
        """
        q = np.asarray(quaternion, dtype=np.float64)
        length = float(np.linalg.norm(q))
        if q.shape != (4,) or not abs(length - 1.0) <= _QUATERNION_TOLERANCE:
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
    """base_from_optical of a camera whose body (x forward, y left, z up) has this pose in base_link.

    Metres and radians; a positive pitch looks down.
    """
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


@dataclass
class _Edge:
    """One parent-child link: either fixed, or samples in the order of their stamps."""

    parent: str
    fixed: Transform | None = None
    stamps: list[int] = field(default_factory=list)
    transforms: list[Transform] = field(default_factory=list)


class TransformBuffer:
    """The transform tree of a recording, looked up at any stamp between its samples; never beyond them.

    Samples may arrive in any order; of two with the same stamp the first is kept, as tf2 does. A fixed transform
    outranks samples of the same link, whichever came first. A leading '/' in frame names (ROS 1) is dropped.

    Args:
        keep_ns: samples of a link that lie further than this before its newest are dropped; None keeps all of them.
    """

    def __init__(self, keep_ns: int | None = None) -> None:
        self._keep_ns = keep_ns
        self._edges: dict[str, _Edge] = {}

    def add_static(self, parent: str, child: str, parent_from_child: Transform) -> None:
        """Add a transform that holds at all times; a later one for the same link replaces it.

        Raises:
            GeometryError: an empty name, a child with two parents, or a loop.
        """
        edge = self._edge(parent, child)
        edge.fixed = parent_from_child
        edge.stamps, edge.transforms = [], []

    def add(self, parent: str, child: str, stamp_ns: int, parent_from_child: Transform) -> None:
        """Add a sample at a stamp in nanoseconds; raises as `add_static` does."""
        edge = self._edge(parent, child)
        if edge.fixed is not None:
            return
        index = bisect_left(edge.stamps, stamp_ns)
        if index < len(edge.stamps) and edge.stamps[index] == stamp_ns:
            return
        edge.stamps.insert(index, stamp_ns)
        edge.transforms.insert(index, parent_from_child)
        if self._keep_ns is not None:
            forgotten = bisect_left(edge.stamps, edge.stamps[-1] - self._keep_ns)
            del edge.stamps[:forgotten], edge.transforms[:forgotten]

    def frames(self) -> set[str]:
        """The names of all frames, parents and children."""
        return set(self._edges) | {edge.parent for edge in self._edges.values()}

    def lookup(self, target: str, source: str, stamp_ns: int) -> Transform:
        """`target_from_source` at a stamp, interpolated between the neighbouring samples of every link on the way.

        Raises:
            GeometryError: a frame is unknown, the two are not connected, or a link has no samples on both sides of
                the stamp; the message names the frames, the stamp and the span that is there.
        """
        target, source = _plain(target), _plain(source)
        for frame in (target, source):
            if frame not in self.frames():
                known = ", ".join(sorted(self.frames())) or "none"
                raise GeometryError(f"there is no frame '{frame}' among the transforms; known frames: {known}.")
        target_line, source_line = self._ancestry(target), self._ancestry(source)
        meeting = next((frame for frame in source_line if frame in target_line), None)
        if meeting is None:
            raise GeometryError(
                f"no transforms connect '{source}' to '{target}': the tree of the one ends at '{source_line[-1]}', "
                f"that of the other at '{target_line[-1]}'; record or add the transform that links the two."
            )
        meeting_from_target = self._climb(target_line[: target_line.index(meeting)], stamp_ns)
        meeting_from_source = self._climb(source_line[: source_line.index(meeting)], stamp_ns)
        return meeting_from_target.inverse() @ meeting_from_source

    def _edge(self, parent: str, child: str) -> _Edge:
        parent, child = _plain(parent), _plain(child)
        edge = self._edges.get(child)
        if edge is None:
            if child in self._ancestry(parent):
                raise GeometryError(f"the transform from '{child}' to '{parent}' closes a loop; remove one link of it.")
            edge = self._edges[child] = _Edge(parent)
        elif edge.parent != parent:
            raise GeometryError(
                f"frame '{child}' is published with two parents, '{edge.parent}' and '{parent}'; "
                "keep one of the two publishers."
            )
        return edge

    def _ancestry(self, frame: str) -> list[str]:
        """The frame, its parent, and so on up to the root."""
        line = [frame]
        while (edge := self._edges.get(line[-1])) is not None:
            line.append(edge.parent)
        return line

    def _climb(self, line: list[str], stamp_ns: int) -> Transform:
        """From the first frame of the line to the parent of its last one."""
        total = Transform.identity()
        for child in line:
            total = self._sample(child, stamp_ns) @ total
        return total

    def _sample(self, child: str, stamp_ns: int) -> Transform:
        edge = self._edges[child]
        if edge.fixed is not None:
            return edge.fixed
        after = bisect_left(edge.stamps, stamp_ns)
        if after < len(edge.stamps) and edge.stamps[after] == stamp_ns:
            return edge.transforms[after]
        if after in (0, len(edge.stamps)):
            raise GeometryError(
                f"the transform from '{child}' to '{edge.parent}' is not known at {_seconds(stamp_ns)}: its "
                f"{len(edge.stamps)} samples span {_seconds(edge.stamps[0])} to {_seconds(edge.stamps[-1])}; "
                "use images within that span or record the transforms for longer."
            )
        before_ns, after_ns = edge.stamps[after - 1], edge.stamps[after]
        fraction = (stamp_ns - before_ns) / (after_ns - before_ns)
        return interpolate(edge.transforms[after - 1], edge.transforms[after], fraction)


def _plain(frame: str) -> str:
    name = frame.lstrip("/")
    if not name:
        raise GeometryError("a transform has an empty frame name; fill in its header.frame_id and child_frame_id.")
    return name


def _seconds(stamp_ns: int) -> str:
    return f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d} s"
