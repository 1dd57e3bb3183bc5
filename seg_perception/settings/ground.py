"""How the ground is sampled, as a user sets it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.settings.field import check_settings, declared_settings, setting
from seg_perception.settings.grid import GridSettings

MAX_PITCH_ERROR = 0.1
"""rad. Of a camera that is further off, the extrinsics are wrong, not inexact."""


@dataclass(frozen=True)
class GroundSettings:
    """How the ground is sampled: on bearings x ranges around the camera's nadir point.

    The number of samples depends on nothing else, so a network is built for it once.

    Attributes:
        resolution: edge of the grid's cells, m; also the distance between ranges. It is no setting of its own:
            `PipelineSettings` takes it from the grid.
    """

    min_range: float = setting(
        0.5,
        "Distance of the nearest sample from the camera's nadir point.",
        unit="m",
        minimum=0.05,
        maximum=50.0,
    )
    max_range: float = setting(
        10.0,
        "Distance of the furthest sample from the camera's nadir point.",
        unit="m",
        minimum=0.2,
        maximum=200.0,
    )
    max_samples: int = setting(
        4_000,
        "Most samples, bearings times ranges; fewer are faster and coarser.",
        minimum=2,
        maximum=100_000,
        changeable=False,
    )
    attitude_error: float = setting(
        0.005,
        "Standard deviation of the camera's pitch, roll and yaw against the ground: calibration, suspension and the "
        "slope of the ground together.",
        unit="rad",
        minimum=0.0001,
        maximum=0.2,
    )
    standing_threshold: float = setting(
        0.5,
        "Probability of the obstacle classes (`standing` in the cost matrix) from which a sample hides what lies "
        "behind it.",
        minimum=0.01,
        maximum=1.0,
    )
    standing_depth: float = setting(
        0.4,
        "How far behind its first sample an obstacle is marked.",
        unit="m",
        minimum=0.01,
        maximum=5.0,
    )
    max_pitch_error: float = setting(
        0.0,
        "Largest error of the camera's pitch and roll that the online extrinsic calibration estimates from the motion "
        "of the ground, and corrects; 0 turns it off.",
        unit="rad", minimum=0.0, maximum=MAX_PITCH_ERROR,
    )  # fmt: skip
    resolution: float = GridSettings.resolution

    def __post_init__(self) -> None:
        """Refuse settings that give no samples.

        Raises:
            ConfigError: a value is outside its limits, or there are no two ranges or no two bearings.
        """
        check_settings(self, "ground")
        declared_settings(GridSettings)["resolution"].checked(self.resolution, "ground.resolution")
        if self.max_range < self.min_range + self.resolution:
            raise ConfigError(
                f"ground.max_range is {self.max_range} m; give more than min_range, {self.min_range} m, plus one cell."
            )
        if self.bearing_count < 2:
            raise ConfigError(
                f"ground.max_samples is {self.max_samples}; give at least {2 * self.ranges.size}, for two bearings."
            )

    @property
    def ranges(self) -> NDArray[np.float64]:
        """Distances of the samples from the camera's nadir point, float64 [R], m."""
        count = math.floor((self.max_range - self.min_range) / self.resolution + 1e-9) + 1
        return self.min_range + self.resolution * np.arange(count, dtype=np.float64)

    @property
    def bearing_count(self) -> int:
        """B, the number of bearings; they spread evenly over the camera's field of view."""
        return self.max_samples // self.ranges.size
