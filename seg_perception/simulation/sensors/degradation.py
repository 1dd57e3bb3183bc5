"""How the sensors degrade on a drive: light, weather, a dirty lens, wrong extrinsics, rising ground, odometry drift."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.transforms import Transform, footprint_of
from seg_perception.simulation.conditions import Conditions

_BLOBS = 14  # drops on the lens
_DRIFT_YAW = math.radians(0.2)  # per metre, at a drift of 1


@dataclass(frozen=True)
class SensorDegradation:
    """One degradation; the defaults are a clear day without any.

    Attributes:
        conditions: fields of `Conditions` and their values.
        dirt: share of the image's width that a drop on the lens covers at most; 0 for a clean lens.
        pitch: how much lower the camera looks than its extrinsics say, rad.
        slope: how much the ground ahead rises while the robot assumes flat ground, rad.
        drift: of the odometry: at 1 it is 3 % too long and turns 0.2° to the left per metre.
        dropped: share of the images that never arrive.
        crowd: how many people more than usual.
    """

    conditions: Mapping[str, float] = field(default_factory=dict)
    dirt: float = 0.0
    pitch: float = 0.0
    slope: float = 0.0
    drift: float = 0.0
    dropped: float = 0.0
    crowd: int = 0

    def weather(self, seed: int) -> Conditions:
        """A clear day with the sun anywhere, with the changes of `conditions`."""
        rng = np.random.default_rng([seed, 5])
        day = Conditions(sun_azimuth=float(rng.uniform(-math.pi, math.pi)), seed=int(rng.integers(1 << 30)))
        changes: dict[str, Any] = dict(self.conditions)
        return replace(day, **changes)

    def degrade(self, rgb: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """The image, uint8 [H, W, 3], through a dirty lens; the seed fixes where the dirt is."""
        if self.dirt == 0.0:
            return rgb
        height, width = rgb.shape[:2]
        rng = np.random.default_rng([seed, 6])
        cover = np.zeros((height, width), np.float32)
        for _ in range(_BLOBS):
            center = (int(rng.uniform(0.0, width)), int(rng.uniform(0.2, 1.0) * height))
            radius = int(rng.uniform(0.3, 1.0) * 0.5 * self.dirt * width)
            cv2.circle(cover, center, radius, (float(rng.uniform(0.6, 0.95)),), -1)
        cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), 0.006 * width), np.float32)[..., None]
        smeared = cv2.GaussianBlur(rgb, (0, 0), 0.04 * width).astype(np.float32) * 0.6
        mixed = (1.0 - cover) * rgb.astype(np.float32) + cover * smeared
        degraded: NDArray[np.uint8] = np.clip(mixed + 0.5, 0.0, 255.0).astype(np.uint8)
        return degraded

    def actual_odom_from_optical(self, odom_from_base: Transform, base_from_optical: Transform) -> Transform:
        """The actual pose of the camera against the ground that it sees, odom_from_optical.

        Rising ground ahead, seen from flat ground, is flat ground seen by a robot that is tipped forwards.
        """
        tipped = odom_from_base @ Transform.from_xyz_rpy(0.0, 0.0, 0.0, 0.0, self.slope, 0.0)
        # About the optical x axis a positive angle turns the view upwards.
        return tipped @ base_from_optical @ Transform.from_xyz_rpy(0.0, 0.0, 0.0, -self.pitch, 0.0, 0.0)

    def arrives(self, number: int, seed: int) -> bool:
        """Whether image `number` arrives; the first one does."""
        return number == 0 or bool(np.random.default_rng([seed, 7, number]).random() >= self.dropped)


DEGRADATIONS: dict[str, SensorDegradation] = {
    "day": SensorDegradation(),
    "dusk": SensorDegradation(
        {"sun": 0.5, "sun_elevation": 0.1, "clouds": 0.65, "warmth": 0.3, "exposure": 0.3, "noise": 0.03}
    ),
    "rain": SensorDegradation(
        {"sun": 0.0, "clouds": 1.0, "rain": 0.9, "wetness": 0.9, "visibility": 120.0, "noise": 0.03}
    ),
    "blur": SensorDegradation({"blur": 2.5}),
    "occlusion": SensorDegradation(dirt=0.14),
    "crowd": SensorDegradation(crowd=12),
    "slope": SensorDegradation(slope=math.radians(3.0)),
    "pitch_0.5": SensorDegradation(pitch=math.radians(0.5)),
    "pitch_1": SensorDegradation(pitch=math.radians(1.0)),
    "pitch_2": SensorDegradation(pitch=math.radians(2.0)),
    "dropped": SensorDegradation(dropped=0.5),
    "drift": SensorDegradation(drift=1.0),
}
"""The standard degradations by name."""


class DriftingOdometry:
    """Odometry whose distance and heading drift."""

    def __init__(self, start: Transform, degradation: SensorDegradation) -> None:
        """Start at the actual pose."""
        self._actual, self._measured, self._drift = start, start, degradation.drift

    def measure(self, odom_from_base: Transform) -> Transform:
        """The pose that the odometry reports for an actual one; call it in the order of time."""
        moved = self._actual.inverse() @ odom_from_base
        away = float(np.linalg.norm(moved.translation))
        turned = Transform.from_xyz_rpy(0.0, 0.0, 0.0, 0.0, 0.0, self._drift * _DRIFT_YAW * away)
        longer = Transform(moved.rotation, moved.translation * (1.0 + 0.03 * self._drift))
        # Roll and pitch come from an inertial sensor and do not drift; only the footprint's motion does.
        self._actual, self._measured = odom_from_base, self._measured @ turned @ longer
        return self._measured


def measured_from_actual(measured: Transform, actual: Transform) -> Transform:
    """The odometry's odom in the actual one, from one pose in both. It is level: both lie on the same ground."""
    return footprint_of(measured) @ footprint_of(actual).inverse()
