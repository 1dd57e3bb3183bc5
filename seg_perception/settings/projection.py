"""What a user can set about measured ground: depth images and point clouds in place of the flat plane."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

from seg_perception.errors import ConfigError

Projection = Literal["points", "depth", "plane"]
"""What tells where the things in an image are: a point cloud, a depth image, or the assumption of flat ground."""

ProjectionMode = Literal["auto", "points", "depth", "plane"]


@dataclass(frozen=True)
class ProjectionSettings:
    """How measured points become ground, obstacles and holes; docs/concepts/ground_projection.md draws it.

    Attributes:
        mode: "auto" takes for each frame the first of points, depth and plane that can be used; any other takes that
            one, and a frame without it gives no result.
        robot_height: what hangs higher than this over the ground does not block, m.
        max_step: a step, up or down, that the robot drives over, m.
        max_slope: steepest ground that the robot drives on, rad.
        max_gap: unmeasured stretch of a line of sight that counts as seen where ground is seen at both its ends, m.
        min_points: so many points, next to each other, make an obstacle or a hole; fewer may be errors of the sensor.
        max_points: of a depth image; more pixels are thinned out evenly.
        height_noise: how far measured ground may lie off the slope that is fitted to it, m.
        depth_error: standard deviation of depth, 1/m: it is this times the depth squared, as stereo has it.
        points_error: standard deviation of a point's distance, m.
        max_time_difference: between the image and what was measured, s; beyond that it is refused.
    """

    mode: ProjectionMode = "auto"
    robot_height: float = 2.0
    max_step: float = 0.06
    max_slope: float = 0.26
    max_gap: float = 0.4
    min_points: int = 3
    max_points: int = 80_000
    height_noise: float = 0.03
    depth_error: float = 0.002
    points_error: float = 0.02
    max_time_difference: float = 0.05

    def __post_init__(self) -> None:
        """Refuse settings under which nothing could be told apart.

        Raises:
            ConfigError: a value is out of its range.
        """
        if self.mode not in get_args(ProjectionMode):
            raise ConfigError(f"projection.mode is '{self.mode}'; use one of {', '.join(get_args(ProjectionMode))}.")
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"projection.{field.name} is {value}; give a finite number above 0.")
        if self.max_slope >= math.pi / 4:
            raise ConfigError(f"projection.max_slope is {self.max_slope} rad; give less than 0.785, 45 degrees.")
        if self.robot_height <= self.max_step:
            raise ConfigError(
                f"projection.robot_height is {self.robot_height} m; give more than max_step, {self.max_step} m."
            )
