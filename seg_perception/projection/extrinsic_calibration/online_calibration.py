"""How far a camera looks beside where its mount says, learnt while the robot drives over flat ground.

Each time the robot has gone a little further, the ground in its image is fitted to the same ground in an earlier one
(`attitude_fit.py`). One fit may be wrong; the median of the last ones is what counts, as soon as they agree.
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
from seg_perception.projection.extrinsic_calibration.attitude_fit import fit_attitude, turned
from seg_perception.projection.extrinsic_calibration.ground_view import GroundView, view_ground
from seg_perception.sensor_data.frame import Frame

NOT_MOVED = "the robot has not moved far enough yet"
NO_GROUND = "hardly any ground is in view"
FEATURELESS = "the ground shows nothing to tell it by"
FEW = "too few looks yet"
DISAGREE = "the looks disagree"

_PREFIX = "horizon "
_APART = 0.2  # heights of the camera that the robot goes between two views
_BASELINE = (0.6, 3.0)  # heights of the camera between two views that are compared
_KEPT_VIEWS = 6
_LIKENESS = 0.4  # of two views of the same ground, at least; those of noise have less
_DEVIATION = math.radians(0.75)  # of one fit's pitch, at most
_FITS = 15  # that the median is taken of
_FEWEST_FITS = 3
_CERTAINTY = math.radians(0.2)  # standard error of the median, at most
# Odometry that is 3 % too long looks like a pitch error of 0.3°; to correct that would be worse than nothing.
_SMALLEST = math.radians(0.35)


@dataclass(frozen=True)
class Horizon:
    """What is known of a camera's attitude.

    Attributes:
        pitch: how much lower the camera is taken to look than its mount says, rad; 0 while that is not known, and where
            it is within two standard errors or so small that odometry may feign it.
        roll: how much further its right side is taken to hang, rad; 0 in the same cases.
        error: standard error of the pitch, rad; infinite while there are too few looks.
        looks: how many looks say so.
        doubt: why the pitch is not known, one of a few fixed texts; empty where it is.
    """

    pitch: float = 0.0
    roll: float = 0.0
    error: float = math.inf
    looks: int = 0
    doubt: str = NOT_MOVED

    @property
    def told_from_true(self) -> Transform:
        """What to turn a camera's told pose by, from the right: base_from_optical @ told_from_true."""
        return Transform(turned(self.pitch, self.roll), np.zeros(3))

    def in_words(self) -> str:
        """One line for people."""
        if self.doubt:
            return f"not known: {self.doubt}"
        pitch, roll, error = (math.degrees(angle) for angle in (self.pitch, self.roll, self.error))
        return f"pitch {pitch:+.2f}°, roll {roll:+.2f}°, standard error {error:.2f}°, by {self.looks} looks"


class HorizonKeeper:
    """Learns the attitude of one camera.

    Attributes:
        horizon: what is known.
    """

    def __init__(self, limit: float) -> None:
        """Know nothing.

        Args:
            limit: no error is taken to be larger, rad.
        """
        self._limit = limit
        self._views: deque[GroundView] = deque(maxlen=_KEPT_VIEWS)
        self._fits: deque[tuple[float, float]] = deque(maxlen=_FITS)
        self.horizon = Horizon()

    def forget_views(self) -> None:
        """The robot's position has jumped: earlier views no longer compare. What is known of the mount stays."""
        self._views.clear()

    def see(
        self,
        green: NDArray[np.uint8],
        ground: NDArray[np.bool_],
        camera: Camera,
        odom_from_base: Transform,
        base_from_optical: Transform,
    ) -> None:
        """Learn from one image.

        Args:
            green: uint8 [H, W], its green channel.
            ground: bool [H, W], where it shows ground.
            camera: of that size.
            odom_from_base: pose of the robot.
            base_from_optical: the mount as the robot was told, without any correction.
        """
        odom_from_optical = odom_from_base @ base_from_optical
        odom_from_footprint = footprint_of(odom_from_base)
        footprint_from_optical = odom_from_footprint.inverse() @ odom_from_optical
        gone = [
            float(np.linalg.norm(view.odom_from_level.translation - odom_from_optical.translation)) / view.height
            for view in self._views
        ]
        if gone and gone[-1] < _APART:
            return
        now = view_ground(green, ground, camera, odom_from_footprint, footprint_from_optical)
        if now is None:
            self._judge(NO_GROUND)
            return
        reference = [view for view, way in zip(self._views, gone, strict=True) if _BASELINE[0] <= way <= _BASELINE[1]]
        if reference:
            fit = fit_attitude(reference[-1], now, 1.5 * self._limit)
            telling = fit is not None and fit.likeness >= _LIKENESS and fit.deviation[0] <= _DEVIATION
            if fit is not None and telling:
                self._fits.append((fit.pitch, fit.roll))
            self._judge(FEW if telling else FEATURELESS)
        self._views.append(now)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything it goes on from, as arrays that np.savez keeps exactly."""
        arrays: dict[str, NDArray[Any]] = {"fits": np.array(self._fits).reshape(-1, 2)}
        for place, view in enumerate(self._views):
            arrays |= {f"view {place} {name}": array for name, array in view.to_arrays().items()}
        return arrays

    @classmethod
    def from_arrays(cls, limit: float, arrays: Mapping[str, NDArray[Any]]) -> HorizonKeeper:
        """What `to_arrays` described."""
        keeper = cls(limit)
        keeper._fits.extend((float(pitch), float(roll)) for pitch, roll in arrays["fits"])
        keeper._views.extend(GroundView.from_arrays(each) for each in _parts(arrays, "view ").values())
        keeper._judge(FEW)
        return keeper

    def _judge(self, why_few: str) -> None:
        """Take stock; `why_few` is what to say where there are too few fits."""
        count = len(self._fits)
        if count < _FEWEST_FITS:
            self.horizon = Horizon(looks=count, doubt=why_few)
            return
        fits = np.array(self._fits)
        middle = np.median(fits, axis=0)
        # For normal errors 1.48 median deviations are a standard one, and a median errs 1.25 times as much as a mean.
        error = 1.25 * 1.48 * np.median(np.abs(fits - middle), axis=0) / math.sqrt(count)
        counts = (error <= _CERTAINTY) & (np.abs(middle) > np.maximum(2 * error, _SMALLEST))
        pitch, roll = np.where(counts, np.clip(middle, -self._limit, self._limit), 0.0).tolist()
        doubt = DISAGREE if error[0] > _CERTAINTY else ""
        self.horizon = Horizon(pitch, roll, float(error[0]), count, doubt)


class Horizons:
    """A keeper for each camera, by the name of its optical frame.

    Attributes:
        limit: no error is taken to be larger, rad; 0 does not look for any.
    """

    def __init__(self, limit: float) -> None:
        """Know nothing."""
        self.limit = limit
        self._keepers: dict[str, HorizonKeeper] = {}

    def of(self, frame: Frame) -> Horizon | None:
        """What is known of the camera of a frame; None where nobody looks."""
        if not self.limit:
            return None
        keeper = self._keepers.get(frame.frame_id)
        return keeper.horizon if keeper else Horizon()

    def see(self, frame: Frame, image: NDArray[np.uint8], camera: Camera, ground: NDArray[np.bool_]) -> None:
        """Learn from a frame.

        Args:
            frame: with the mount as the robot was told.
            image: uint8 [H, W, 3], RGB or BGR: green is close to brightness, and in the middle of both.
            camera: of that size.
            ground: bool [H, W], where it shows ground.
        """
        if self.limit:
            keeper = self._keepers.setdefault(frame.frame_id, HorizonKeeper(self.limit))
            green = np.ascontiguousarray(image[..., 1])
            keeper.see(green, ground, camera, frame.odom_from_base, frame.base_from_optical)

    def forget_views(self) -> None:
        """See `HorizonKeeper.forget_views`."""
        for keeper in self._keepers.values():
            keeper.forget_views()

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """See `HorizonKeeper.to_arrays`; every name begins with "horizon"."""
        return {
            f"{_PREFIX}{quote(name)} {key}": array
            for name, keeper in self._keepers.items()
            for key, array in keeper.to_arrays().items()
        }

    @classmethod
    def from_arrays(cls, limit: float, arrays: Mapping[str, NDArray[Any]]) -> Horizons:
        """What `to_arrays` described, among other arrays."""
        horizons = cls(limit)
        for name, part in _parts(arrays, _PREFIX).items():
            horizons._keepers[unquote(name)] = HorizonKeeper.from_arrays(limit, part)
        return horizons


def _parts(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, dict[str, NDArray[Any]]]:
    """Arrays called "PREFIX PART NAME" as part → name → array; a part is one word."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in arrays.items():
        if key.startswith(prefix):
            part, _, name = key[len(prefix) :].partition(" ")
            parts.setdefault(part, {})[name] = array
    return parts
