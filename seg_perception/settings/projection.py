"""How measured points become ground and obstacles, as a user sets it: depth images and point clouds, not a plane."""

# ruff: noqa: RUF009 - the calls declare fields

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from seg_perception.errors import ConfigError
from seg_perception.settings.field import check_settings, setting

Projection = Literal["points", "depth", "plane"]
"""What gives the positions of an image's pixels: a point cloud, a depth image, or the assumption of flat ground."""

ProjectionMode = Literal["auto", "points", "depth", "plane"]


@dataclass(frozen=True)
class ProjectionSettings:
    """How measured points become ground, obstacles and holes; docs/concepts/ground_projection.md draws it."""

    mode: ProjectionMode = setting(
        "auto",
        "auto takes the first of points, depth and plane that can be used for an image; any other takes that one "
        "only, and an image without it gives no result.",
        choices=get_args(ProjectionMode),
        changeable=False,
    )
    robot_height: float = setting(
        2.0, "Height above the ground from which things do not block the robot.", unit="m", minimum=0.05, maximum=20.0
    )
    max_step: float = setting(
        0.06, "Highest step, up or down, that the robot drives over.", unit="m", minimum=0.001, maximum=1.0
    )
    max_slope: float = setting(
        0.26, "Steepest ground that the robot drives on.", unit="rad", minimum=0.01, maximum=0.78
    )
    max_gap: float = setting(
        0.4,
        "Longest unmeasured gap along a bearing that counts as ground where ground is measured at both its ends.",
        unit="m",
        minimum=0.01,
        maximum=5.0,
    )
    min_points: int = setting(
        3,
        "Number of points next to each other that make an obstacle or a hole; fewer may be errors of the sensor.",
        minimum=1,
        maximum=100,
    )
    max_points: int = setting(
        80_000,
        "Most points of a depth image; more pixels are thinned out evenly.",
        minimum=1000,
        maximum=2_000_000,
    )
    height_noise: float = setting(
        0.03,
        "Largest distance of measured ground from the slope that is fitted to it.",
        unit="m",
        minimum=0.001,
        maximum=0.5,
    )
    depth_error: float = setting(
        0.002,
        "Factor of the depth squared that gives the standard deviation of depth, as for a stereo camera.",
        unit="1/m",
        minimum=1e-5,
        maximum=0.1,
    )
    points_error: float = setting(
        0.02, "Standard deviation of a point's distance.", unit="m", minimum=0.001, maximum=0.5
    )
    max_time_difference: float = setting(
        0.05,
        "Longest time between the image and the depth image or point cloud; beyond it, the measurement is not used.",
        unit="s", minimum=0.001, maximum=1.0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse settings under which ground and obstacles cannot be told apart.

        Raises:
            ConfigError: a value is outside its limits, or the robot is no higher than a step.
        """
        check_settings(self, "projection")
        if self.robot_height <= self.max_step:
            raise ConfigError(
                f"projection.robot_height is {self.robot_height} m; give more than max_step, {self.max_step} m."
            )
