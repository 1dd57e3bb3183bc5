"""Online extrinsic calibration: estimates the pitch and roll error of a camera while the robot drives on flat ground.

Each time the robot has moved a little further, the ground in its image is registered with the same ground in an earlier
image (`attitude_fit`). A single fit may be wrong. The median of the last fits is used as soon as they agree.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, footprint_of
from seg_perception.projection.extrinsic_calibration.attitude_fit import attitude_rotation, fit_attitude
from seg_perception.projection.extrinsic_calibration.ground_view import GroundView, view_ground
from seg_perception.sensor_data.frame import Frame

NOT_MOVED = "the robot has not moved far enough yet"
NO_GROUND = "hardly any ground is in view"
FEATURELESS = "the ground has too little texture"
FEW = "too few observations yet"
DISAGREE = "the observations disagree"

_PREFIX = "attitude "
_MIN_MOTION = 0.2  # between two views, in heights of the camera
_BASELINE = (0.6, 3.0)  # between two views that are compared, in heights of the camera
_KEPT_VIEWS = 6
_MIN_CORRELATION = 0.4  # of two views of the same ground; views of noise have less
_MAX_DEVIATION = math.radians(0.75)  # of the pitch of one fit
_FITS = 15  # that the median is taken of
_FEWEST_FITS = 3
_MAX_STANDARD_ERROR = math.radians(0.2)  # of the median
# Odometry that is 3 % too long looks like a pitch error of 0.3°; correcting that would do harm.
_SMALLEST = math.radians(0.35)


@dataclass(frozen=True)
class AttitudeCorrection:
    """Estimated attitude error of a camera.

    Attributes:
        pitch: how much lower the camera looks than its nominal extrinsics say, rad. 0 while it is unknown, where it is
            within two standard errors of 0, or where it is so small that an error of the odometry may explain it.
        roll: how much further its right side hangs down, rad; 0 in the same cases.
        standard_error: of the pitch, rad; infinite while there are too few observations.
        observations: number of fits behind it.
        unknown_because: why the pitch is unknown, one of a few fixed texts; empty where it is known.
    """

    pitch: float = 0.0
    roll: float = 0.0
    standard_error: float = math.inf
    observations: int = 0
    unknown_because: str = NOT_MOVED

    @property
    def nominal_from_actual(self) -> Transform:
        """Corrects the nominal extrinsics from the right: base_from_optical @ nominal_from_actual."""
        return Transform(attitude_rotation(self.pitch, self.roll), np.zeros(3))

    def describe(self) -> str:
        """One line for people."""
        if self.unknown_because:
            return f"not known: {self.unknown_because}"
        pitch, roll, error = (math.degrees(angle) for angle in (self.pitch, self.roll, self.standard_error))
        return (
            f"pitch {pitch:+.2f}°, roll {roll:+.2f}°, standard error {error:.2f}°, by {self.observations} observations"
        )


class AttitudeEstimator:
    """Estimates the attitude error of one camera.

    Attributes:
        correction: the current estimate.
    """

    def __init__(self, limit: float) -> None:
        """Start without any observation.

        Args:
            limit: largest error that is corrected, rad.
        """
        self._limit = limit
        self._views: deque[GroundView] = deque(maxlen=_KEPT_VIEWS)
        self._fits: deque[tuple[float, float]] = deque(maxlen=_FITS)
        self.correction = AttitudeCorrection()

    def forget_views(self) -> None:
        """Drop earlier views, because the robot's position has jumped. The estimate stays."""
        self._views.clear()

    def update(
        self,
        green: NDArray[np.uint8],
        ground: NDArray[np.bool_],
        camera: Camera,
        odom_from_base: Transform,
        base_from_optical: Transform,
    ) -> None:
        """Add an image to the estimate.

        Args:
            green: uint8 [H, W], its green channel.
            ground: bool [H, W], where it shows ground.
            camera: of that size.
            odom_from_base: pose of the robot.
            base_from_optical: nominal extrinsics, without any correction.
        """
        odom_from_optical = odom_from_base @ base_from_optical
        odom_from_footprint = footprint_of(odom_from_base)
        footprint_from_optical = odom_from_footprint.inverse() @ odom_from_optical
        distances = [
            float(np.linalg.norm(view.odom_from_level.translation - odom_from_optical.translation)) / view.height
            for view in self._views
        ]
        if distances and distances[-1] < _MIN_MOTION:
            return
        now = view_ground(green, ground, camera, odom_from_footprint, footprint_from_optical)
        if now is None:
            self._estimate(NO_GROUND)
            return
        candidates = [
            view
            for view, distance in zip(self._views, distances, strict=True)
            if _BASELINE[0] <= distance <= _BASELINE[1]
        ]
        if candidates:
            fit = fit_attitude(candidates[-1], now, 1.5 * self._limit)
            good = fit is not None and fit.correlation >= _MIN_CORRELATION and fit.deviation[0] <= _MAX_DEVIATION
            if fit is not None and good:
                self._fits.append((fit.pitch, fit.roll))
            self._estimate(FEW if good else FEATURELESS)
        self._views.append(now)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The state, as arrays that np.savez keeps exactly."""
        arrays: dict[str, NDArray[Any]] = {"fits": np.array(self._fits).reshape(-1, 2)}
        for number, view in enumerate(self._views):
            arrays |= {f"view {number} {name}": array for name, array in view.to_arrays().items()}
        return arrays

    @classmethod
    def from_arrays(cls, limit: float, arrays: Mapping[str, NDArray[Any]]) -> AttitudeEstimator:
        """The estimator that `to_arrays` described."""
        estimator = cls(limit)
        estimator._fits.extend((float(pitch), float(roll)) for pitch, roll in arrays["fits"])
        estimator._views.extend(GroundView.from_arrays(each) for each in _parts(arrays, "view ").values())
        estimator._estimate(FEW)
        return estimator

    def _estimate(self, why_few: str) -> None:
        """Update the correction from the fits; `why_few` is the reason to give where there are too few of them."""
        count = len(self._fits)
        if count < _FEWEST_FITS:
            self.correction = AttitudeCorrection(observations=count, unknown_because=why_few)
            return
        fits = np.array(self._fits)
        median = np.median(fits, axis=0)
        # For normal errors, 1.48 times the median deviation is a standard deviation. The standard error of a median is
        # 1.25 times that of a mean.
        error = 1.25 * 1.48 * np.median(np.abs(fits - median), axis=0) / math.sqrt(count)
        significant = (error <= _MAX_STANDARD_ERROR) & (np.abs(median) > np.maximum(2 * error, _SMALLEST))
        pitch, roll = np.where(significant, np.clip(median, -self._limit, self._limit), 0.0).tolist()
        unknown_because = DISAGREE if error[0] > _MAX_STANDARD_ERROR else ""
        self.correction = AttitudeCorrection(pitch, roll, float(error[0]), count, unknown_because)


class OnlineCalibration:
    """An attitude estimator for each camera, by the name of its optical frame.

    Attributes:
        limit: largest error that is corrected, rad; 0 switches calibration off.
    """

    def __init__(self, limit: float) -> None:
        """Start without any observation."""
        self.limit = limit
        self._estimators: dict[str, AttitudeEstimator] = {}

    def correction(self, frame: Frame) -> AttitudeCorrection | None:
        """The correction for the camera of a frame; None where calibration is off."""
        if not self.limit:
            return None
        estimator = self._estimators.get(frame.frame_id)
        return estimator.correction if estimator else AttitudeCorrection()

    def update(self, frame: Frame, image: NDArray[np.uint8], camera: Camera, ground: NDArray[np.bool_]) -> None:
        """Add a frame to the estimate of its camera.

        Args:
            frame: with the nominal extrinsics.
            image: uint8 [H, W, 3], RGB or BGR; only its green channel is used, which is close to brightness.
            camera: of that size.
            ground: bool [H, W], where it shows ground.
        """
        if self.limit:
            estimator = self._estimators.setdefault(frame.frame_id, AttitudeEstimator(self.limit))
            green = np.ascontiguousarray(image[..., 1])
            estimator.update(green, ground, camera, frame.odom_from_base, frame.base_from_optical)

    def forget_views(self) -> None:
        """See `AttitudeEstimator.forget_views`."""
        for estimator in self._estimators.values():
            estimator.forget_views()

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """See `AttitudeEstimator.to_arrays`; every name begins with "attitude"."""
        return {
            f"{_PREFIX}{quote(name)} {key}": array
            for name, estimator in self._estimators.items()
            for key, array in estimator.to_arrays().items()
        }

    @classmethod
    def from_arrays(cls, limit: float, arrays: Mapping[str, NDArray[Any]]) -> OnlineCalibration:
        """The calibration that `to_arrays` described; other arrays are ignored."""
        calibration = cls(limit)
        for name, part in _parts(arrays, _PREFIX).items():
            calibration._estimators[unquote(name)] = AttitudeEstimator.from_arrays(limit, part)
        return calibration


def _parts(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, dict[str, NDArray[Any]]]:
    """Arrays called "PREFIX PART NAME" as part → name → array; a part is one word."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in arrays.items():
        if key.startswith(prefix):
            part, _, name = key[len(prefix) :].partition(" ")
            parts.setdefault(part, {})[name] = array
    return parts
