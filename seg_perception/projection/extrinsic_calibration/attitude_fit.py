"""How wrong the attitude of a camera on its mount is, from two views of the same ground.

Flat ground that moves by the robot's own motion tells where the camera looks: with an attitude that is wrong, near
ground seems to move too fast against far ground (pitch), and the ground on the left against that on the right (roll).

The fit is that of B. D. Lucas and T. Kanade, "An Iterative Image Registration Technique with an Application to Stereo
Vision" (IJCAI 1981), from coarse to fine, with the homography that a plane induces (R. Hartley and A. Zisserman,
"Multiple View Geometry in Computer Vision", 2nd edition, section 13.1) in place of a shift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.projection.extrinsic_calibration.ground_view import F32, LEVELS, GroundView

F64 = NDArray[np.float64]

_PITCH, _ROLL = 0, 1
# What else may be wrong, one standard deviation each, beside pitch and roll: the robot's turn in pitch and in yaw
# between the images, rad, and the way it went, as a share (the same as the camera's height being wrong).
_ODOMETRY = (math.radians(0.3), math.radians(0.3), 0.03)
_PARAMETERS = 2 + len(_ODOMETRY)
_SCAN_STEP = math.radians(0.5)  # less than a pixel of the coarsest level
_ROUNDS = 3  # at each level
_MOST_PIXELS = 2000
_FEWEST_PIXELS = 200
_LEAST_OVERLAP = 0.3
_DOUBT = 0.5  # of even contrast, beyond which a pixel counts less (Cauchy)
_ALIKE = 15.0  # compared pixels that tell as much as one: neighbours err alike
_LEAST_NOISE = 1e-3  # squared, of even contrast: no two images agree better
_STEP = 1e-4  # of a parameter, for the derivative
_ENOUGH = 5e-5  # rad, a step that ends the search at a level


@dataclass(frozen=True)
class AttitudeFit:
    """What two views say.

    Attributes:
        pitch: how much lower the camera looks than its mount says, rad.
        roll: how much further its right side hangs, rad.
        deviation: standard deviation of both, rad.
        likeness: correlation of the two views, -1..1, once they are brought together.
    """

    pitch: float
    roll: float
    deviation: tuple[float, float]
    likeness: float


def turned(pitch: float, roll: float) -> F64:
    """told_from_true, float64 [3, 3], optical axes: how a camera is turned that is off by these angles, rad.

    In optical axes (x right, y down) a positive angle about x looks up, and one about z drops the right side.
    """
    (sp, cp), (sr, cr) = ((math.sin(angle), math.cos(angle)) for angle in (-pitch, roll))
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    rotation: F64 = about_x @ about_z
    return rotation


def fit_attitude(before: GroundView, now: GroundView, limit: float) -> AttitudeFit | None:
    """Find the error of the camera's attitude with which two views show the same ground best.

    Args:
        before: a view from another place.
        now: the later view, of the same camera.
        limit: pitch errors up to this are looked for, rad.

    Returns:
        None where the two share too little ground.
    """
    pair = _Pair(before, now)
    errors = pair.scan(limit)
    if errors is None:
        return None
    for level in reversed(range(LEVELS)):
        if not pair.choose(level):
            return None
        for _ in range(_ROUNDS):
            step = pair.improve(errors)
            if step is None:
                return None
            errors += step
            if np.abs(step[:2]).max() < _ENOUGH:
                break
    deviation = np.sqrt(np.diag(np.linalg.inv(pair.information))[:2]).tolist()
    return AttitudeFit(float(errors[_PITCH]), float(errors[_ROLL]), (deviation[0], deviation[1]), pair.likeness)


class _Pair:
    """Two views, and the pixels of the later one that are looked for in the earlier one.

    Attributes:
        information: float64 [P, P], inverse covariance of the errors as of the last improvement.
        likeness: of the views as of then.
    """

    def __init__(self, before: GroundView, now: GroundView) -> None:
        self._before, self._now = before, now
        self._motion = before.odom_from_level.inverse() @ now.odom_from_level
        self._prior = np.diag([0.0, 0.0, *(1 / deviation**2 for deviation in _ODOMETRY)])
        self.information = np.eye(_PARAMETERS)
        self.likeness = 0.0

    def choose(self, level: int) -> bool:
        """Go to a level and take pixels there, evenly over the ground; False where it shows too little of that."""
        even, ground = self._now.levels[level]
        self._scale = 2**level
        every = max(1, math.ceil(math.sqrt(float(ground.sum()) / _MOST_PIXELS)))
        row, col = np.nonzero(ground[::every, ::every])
        row, col = row * every, col * every
        self._wanted = even[row, col]
        right, down = (
            first + self._now.step * ((index + 0.5) * self._scale - 0.5)
            for first, index in zip(self._now.first, (col, row), strict=True)
        )
        self._rays = np.stack([np.ones(right.size), -right, -down])
        even, ground = self._before.levels[level]
        along_u, along_v = (cv2.Sobel(even, cv2.CV_32F, *axis, ksize=1, scale=0.5) for axis in ((1, 0), (0, 1)))
        self._searched = cv2.merge([even, ground, along_u, along_v])
        self._slope: F64 | None = None
        return bool(right.size >= _FEWEST_PIXELS / self._scale**2)

    def scan(self, limit: float) -> F64 | None:
        """The pitch error, among few, with which the coarsest views are most alike, as errors [P]."""
        if not self.choose(LEVELS - 1):
            return None
        count = math.ceil(limit / _SCAN_STEP)
        tried = np.zeros((2 * count + 1, _PARAMETERS))
        tried[:, _PITCH] = _SCAN_STEP * np.arange(-count, count + 1)
        found, shared, *_ = self._found(self._places(tried))
        alike = [_likeness(one, self._wanted, weight) for one, weight in zip(found, shared, strict=True)]
        enough = shared.mean(axis=-1) >= _LEAST_OVERLAP
        best: F64 = tried[int(np.argmax(np.where(enough, alike, -1.0)))]
        return best if enough.any() else None

    def improve(self, errors: F64) -> F64 | None:
        """One step of Gauss and Newton; None where the views share too little."""
        places = self._places(errors[np.newaxis])
        (found,), (shared,), (along_u,), (along_v,) = self._found(places)
        if shared.mean() < _LEAST_OVERLAP:
            return None
        if self._slope is None:  # it hardly changes within a level
            self._slope = (self._places(errors + _STEP * np.eye(_PARAMETERS)) - places) / _STEP
        slope = (along_u * self._slope[0] + along_v * self._slope[1]).T
        away = found - self._wanted
        weight = shared / (1 + (away / _DOUBT) ** 2)
        noise = float(weight @ away**2 / weight.sum()) * _ALIKE
        weighted = slope * (weight / max(noise, _LEAST_NOISE))[:, np.newaxis]
        self.information = weighted.T @ slope + self._prior + np.eye(_PARAMETERS)
        self.likeness = _likeness(found, self._wanted, shared)
        step: F64 = -np.linalg.solve(self.information, weighted.T @ away + self._prior @ errors)
        return step

    def _places(self, errors: F64) -> F64:
        """Column and row, [2, E, N], of the earlier view at which the chosen pixels appear with errors [E, P]."""
        x, y, z = np.moveaxis(np.stack([self._homography(each) for each in errors]) @ self._rays, 1, 0)
        seen = -np.stack([y, z]) / np.maximum(x, 1e-6)
        index = (seen - np.reshape(self._before.first, (2, 1, 1))) / self._before.step
        places: F64 = (index + 0.5) / self._scale - 0.5
        return places

    def _homography(self, errors: F64) -> F64:
        """What takes lines of sight of the later view to those of the earlier one, [3, 3], with errors [P]."""
        pitch, roll, odometry_pitch, odometry_yaw, longer = errors.tolist()
        told_from_true = turned(pitch, roll)
        now, before = (
            view.level_from_optical @ told_from_true @ view.level_from_optical.T for view in (self._now, self._before)
        )
        # So small that the rotation is as good as its first order.
        slip = np.array([[1, -odometry_yaw, odometry_pitch], [odometry_yaw, 1, 0], [-odometry_pitch, 0, 1]])
        # A ray r from height h meets the ground at h r / (-r_z); seen from elsewhere it is R r + t (-r_z) / h.
        plane = np.outer(self._motion.translation * (1 + longer) / self._now.height, [0.0, 0.0, -1.0])
        homography: F64 = before.T @ slip @ (self._motion.rotation + plane) @ now
        return homography

    def _found(self, places: F64) -> F32:
        """What the earlier view shows at [2, E, N]: even contrast, 1 where all around is ground, slopes: [4, E, N]."""
        u, v = places.astype(np.float32)
        found = cv2.remap(self._searched, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        even, ground, along_u, along_v = np.moveaxis(np.asarray(found, np.float32), -1, 0)
        return np.stack([even, (ground > 0.99).astype(np.float32), along_u, along_v])


def _likeness(one: F32, other: F32, weight: F32) -> float:
    size = math.sqrt(float(weight @ one**2) * float(weight @ other**2))
    return float(weight @ (one * other)) / size if size > 0 else 0.0
