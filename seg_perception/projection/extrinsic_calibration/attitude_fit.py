"""Estimates the pitch and roll error of a camera's extrinsics from two views of the same ground.

Flat ground moves in the image by the robot's own motion. With a wrong pitch, near ground seems to move too fast against
far ground. With a wrong roll, the ground on the left does so against that on the right.

The fit is the image registration of B. D. Lucas and T. Kanade ("An Iterative Image Registration Technique with an
Application to Stereo Vision", IJCAI 1981), from coarse to fine. In place of a shift it uses the homography that a plane
induces (R. Hartley and A. Zisserman, "Multiple View Geometry in Computer Vision", 2nd edition, section 13.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.projection.extrinsic_calibration.ground_view import F32, LEVELS, GroundView

F64 = NDArray[np.float64]

_PITCH, _ROLL = 0, 1  # index of each among the parameters
# Other parameters of the fit, with their standard deviation: error of the odometry in pitch and in yaw between the
# images, rad, and in the distance travelled, as a share (an error of the camera's height has the same effect).
_ODOMETRY = (math.radians(0.3), math.radians(0.3), 0.03)
_PARAMETERS = 2 + len(_ODOMETRY)
_SCAN_STEP = math.radians(0.5)  # less than a pixel at the coarsest level
_ROUNDS = 3  # at each level
_MOST_PIXELS = 2000
_FEWEST_PIXELS = 200
_LEAST_OVERLAP = 0.3
_CAUCHY_SCALE = 0.5  # of normalised contrast, beyond which a pixel has less weight (Cauchy loss)
_CORRELATED_PIXELS = 15.0  # pixels per independent one: the errors of neighbours are correlated
_LEAST_NOISE = 1e-3  # squared, of normalised contrast: no two images agree better
_STEP = 1e-4  # of a parameter, for the derivative
_CONVERGED = 5e-5  # rad, a step that ends the search at a level


@dataclass(frozen=True)
class AttitudeFit:
    """Attitude error of a camera, estimated from two views.

    Attributes:
        pitch: how much lower the camera looks than its nominal extrinsics say, rad.
        roll: how much further its right side hangs down, rad.
        deviation: standard deviation of both, rad.
        correlation: of the two registered views, -1..1.
    """

    pitch: float
    roll: float
    deviation: tuple[float, float]
    correlation: float


def attitude_rotation(pitch: float, roll: float) -> F64:
    """nominal_from_actual, float64 [3, 3], of a camera whose attitude is off by these angles, rad.

    In the optical frame (x right, y down) a positive angle about x looks up, and one about z drops the right side.
    """
    (sp, cp), (sr, cr) = ((math.sin(angle), math.cos(angle)) for angle in (-pitch, roll))
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    rotation: F64 = about_x @ about_z
    return rotation


def fit_attitude(before: GroundView, now: GroundView, limit: float) -> AttitudeFit | None:
    """Estimate the attitude error with which two views of the ground agree best.

    Args:
        before: a view from another position.
        now: the later view, of the same camera.
        limit: largest pitch error in the search, rad.

    Returns:
        The fit; None where the two views share too little ground.
    """
    pair = _Pair(before, now)
    parameters = pair.scan(limit)
    if parameters is None:
        return None
    for level in reversed(range(LEVELS)):
        if not pair.sample_level(level):
            return None
        for _ in range(_ROUNDS):
            step = pair.gauss_newton_step(parameters)
            if step is None:
                return None
            parameters += step
            if np.abs(step[:2]).max() < _CONVERGED:
                break
    deviation = np.sqrt(np.diag(np.linalg.inv(pair.information))[:2]).tolist()
    pitch, roll = float(parameters[_PITCH]), float(parameters[_ROLL])
    return AttitudeFit(pitch, roll, (deviation[0], deviation[1]), pair.correlation)


class _Pair:
    """Registers pixels of the later view in the earlier one. P parameters: pitch, roll and the odometry errors.

    Attributes:
        information: float64 [P, P], inverse covariance of the parameters at the last step.
        correlation: of the views at the last step.
    """

    def __init__(self, before: GroundView, now: GroundView) -> None:
        self._before, self._now = before, now
        self._motion = before.odom_from_level.inverse() @ now.odom_from_level
        self._prior = np.diag([0.0, 0.0, *(1 / deviation**2 for deviation in _ODOMETRY)])
        self.information = np.eye(_PARAMETERS)
        self.correlation = 0.0

    def sample_level(self, level: int) -> bool:
        """Sample pixels of a level evenly over the ground; returns False where it shows too little ground."""
        contrast, ground = self._now.levels[level]
        self._scale = 2**level
        every = max(1, math.ceil(math.sqrt(float(ground.sum()) / _MOST_PIXELS)))
        row, col = np.nonzero(ground[::every, ::every])
        row, col = row * every, col * every
        self._target = contrast[row, col]
        right, down = (
            first + self._now.step * ((index + 0.5) * self._scale - 0.5)
            for first, index in zip(self._now.first, (col, row), strict=True)
        )
        self._rays = np.stack([np.ones(right.size), -right, -down])
        contrast, ground = self._before.levels[level]
        along_u, along_v = (cv2.Sobel(contrast, cv2.CV_32F, *axis, ksize=1, scale=0.5) for axis in ((1, 0), (0, 1)))
        self._earlier = cv2.merge([contrast, ground, along_u, along_v])
        self._slope: F64 | None = None
        return bool(right.size >= _FEWEST_PIXELS / self._scale**2)

    def scan(self, limit: float) -> F64 | None:
        """Grid search for the pitch error with the largest correlation at the coarsest level, as parameters [P]."""
        if not self.sample_level(LEVELS - 1):
            return None
        count = math.ceil(limit / _SCAN_STEP)
        tried = np.zeros((2 * count + 1, _PARAMETERS))
        tried[:, _PITCH] = _SCAN_STEP * np.arange(-count, count + 1)
        values, shared, *_ = self._sample_earlier(self._project(tried))
        correlations = [_correlation(one, self._target, weight) for one, weight in zip(values, shared, strict=True)]
        enough = shared.mean(axis=-1) >= _LEAST_OVERLAP
        best: F64 = tried[int(np.argmax(np.where(enough, correlations, -1.0)))]
        return best if enough.any() else None

    def gauss_newton_step(self, parameters: F64) -> F64 | None:
        """One Gauss-Newton step, [P]; None where the views share too little ground."""
        pixels = self._project(parameters[np.newaxis])
        (values,), (shared,), (along_u,), (along_v,) = self._sample_earlier(pixels)
        if shared.mean() < _LEAST_OVERLAP:
            return None
        if self._slope is None:  # nearly constant within a level
            self._slope = (self._project(parameters + _STEP * np.eye(_PARAMETERS)) - pixels) / _STEP
        gradient = (along_u * self._slope[0] + along_v * self._slope[1]).T
        residual = values - self._target
        weight = shared / (1 + (residual / _CAUCHY_SCALE) ** 2)
        noise = float(weight @ residual**2 / weight.sum()) * _CORRELATED_PIXELS
        weighted = gradient * (weight / max(noise, _LEAST_NOISE))[:, np.newaxis]
        self.information = weighted.T @ gradient + self._prior + np.eye(_PARAMETERS)
        self.correlation = _correlation(values, self._target, shared)
        step: F64 = -np.linalg.solve(self.information, weighted.T @ residual + self._prior @ parameters)
        return step

    def _project(self, parameters: F64) -> F64:
        """Column and row, [2, E, N], of the sampled pixels in the earlier view, for E parameter vectors [E, P]."""
        x, y, z = np.moveaxis(np.stack([self._homography(each) for each in parameters]) @ self._rays, 1, 0)
        seen = -np.stack([y, z]) / np.maximum(x, 1e-6)
        index = (seen - np.reshape(self._before.first, (2, 1, 1))) / self._before.step
        pixels: F64 = (index + 0.5) / self._scale - 0.5
        return pixels

    def _homography(self, parameters: F64) -> F64:
        """Homography [3, 3] from rays of the later view to rays of the earlier one, for parameters [P]."""
        pitch, roll, odometry_pitch, odometry_yaw, distance_error = parameters.tolist()
        nominal_from_actual = attitude_rotation(pitch, roll)
        now, before = (
            view.level_from_optical @ nominal_from_actual @ view.level_from_optical.T
            for view in (self._now, self._before)
        )
        # First-order rotation: the angles are small.
        slip = np.array([[1, -odometry_yaw, odometry_pitch], [odometry_yaw, 1, 0], [-odometry_pitch, 0, 1]])
        # A ray r from height h meets the ground at h r / (-r_z); seen from elsewhere it is R r + t (-r_z) / h.
        plane = np.outer(self._motion.translation * (1 + distance_error) / self._now.height, [0.0, 0.0, -1.0])
        homography: F64 = before.T @ slip @ (self._motion.rotation + plane) @ now
        return homography

    def _sample_earlier(self, pixels: F64) -> F32:
        """The earlier view at [2, E, N]: normalised contrast, 1 where all around is ground, gradients: [4, E, N]."""
        u, v = pixels.astype(np.float32)
        values = cv2.remap(self._earlier, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        contrast, ground, along_u, along_v = np.moveaxis(np.asarray(values, np.float32), -1, 0)
        return np.stack([contrast, (ground > 0.99).astype(np.float32), along_u, along_v])


def _correlation(one: F32, other: F32, weight: F32) -> float:
    size = math.sqrt(float(weight @ one**2) * float(weight @ other**2))
    return float(weight @ (one * other)) / size if size > 0 else 0.0
