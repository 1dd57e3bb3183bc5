"""The node's parameters as data: what is declared, checked, documented and shipped all comes from this one table."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from seg_perception.errors import ConfigError
from seg_perception.inference.options import BACKENDS
from seg_perception.model.card import PRECISIONS
from seg_perception.projection.flat_ground.sampling import MOST_PITCH_ERROR, GroundSettings
from seg_perception.ros.inputs.reliability_fallback import Reliability
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.projection import ProjectionMode, ProjectionSettings
from seg_perception.settings.yaml_file import did_you_mean

Kind = Literal["string", "integer", "double", "string array", "double array"]
Value = str | int | float | tuple[str, ...] | tuple[float, ...]


@dataclass(frozen=True)
class NodeParameter:
    """One parameter of the node.

    Attributes:
        name: as ROS knows it; a dot separates group and name.
        kind: its ROS type.
        default: its value where none is given.
        description: what it is, in one sentence that names its unit.
        low: least number allowed.
        high: greatest number allowed.
        choices: the texts allowed; empty for any.
        read_only: given at the start and fixed from then on.
    """

    name: str
    kind: Kind
    default: Value
    description: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    read_only: bool = False

    def checked(self, value: Any) -> Value:
        """The value in this parameter's type; whole numbers are taken for doubles.

        Raises:
            ConfigError: it has another type or is not allowed.
        """
        if self.kind.endswith("array"):
            if not isinstance(value, (list, tuple, array)):  # rclpy keeps numbers in an array
                raise self.error(f"must be a list, not {value!r}")
            return tuple(self._checked_item(item) for item in value)  # type: ignore[return-value]
        return self._checked_item(value)

    def error(self, problem: str) -> ConfigError:
        """A ConfigError that names this parameter."""
        return ConfigError(f"parameter '{self.name}' {problem}.")

    def limits(self) -> str:
        """What values are allowed, in words; empty for any."""
        if self.choices:
            return ", ".join(self.choices)
        return f"{self.low:g} to {self.high:g}" if math.isfinite(self.low) else ""

    def _checked_item(self, value: Any) -> str | int | float:
        if self.kind.startswith("string"):
            if not isinstance(value, str):
                raise self.error(f"must be text, not {value!r}")
            if self.choices and value not in self.choices:
                raise self.error(
                    f"is '{value}'{did_you_mean(value, self.choices)}; use one of {', '.join(self.choices)}"
                )
            return value
        whole = self.kind == "integer"
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise self.error(f"must be a {'whole ' if whole else ''}number, not {value!r}")
        if not math.isfinite(value):
            raise self.error(f"must be a finite number, not {value}")
        if not self.low <= value <= self.high:
            raise self.error(f"is {value}, but must lie within {self.limits()}")
        return value if whole else float(value)


@dataclass(frozen=True)
class Group:
    """Parameters that belong together, under a title."""

    title: str
    parameters: tuple[NodeParameter, ...]


# For each field of GroundSettings: least and greatest value, and what it is.
_GROUND = {
    "resolution": (0.01, 2.0, "Distance of samples along a bearing, m; that of the grid."),
    "min_range": (0.05, 50.0, "Nearest sample, m from the camera's foot point."),
    "max_range": (0.2, 200.0, "Furthest sample, m from the camera's foot point."),
    "max_samples": (2, 100_000, "Most samples, bearings times ranges; fewer is faster and coarser."),
    "attitude_error": (
        0.0001, 0.2, "Standard deviation of the camera's pitch, roll and yaw against the ground, rad.",
    ),
    "standing_threshold": (
        0.01, 1.0, "Probability of standing classes from which a sample hides what lies behind it.",
    ),
    "standing_depth": (0.01, 5.0, "How far behind its foot a standing thing is marked, m."),
    "max_pitch_error": (
        0.0, MOST_PITCH_ERROR,
        "Largest error of the camera's pitch and roll that is told from how the ground moves, and corrected, rad; "
        "0 does not look.",
    ),
}  # fmt: skip

# The same for each number of ProjectionSettings.
_PROJECTION = {
    "robot_height": (0.05, 20.0, "What hangs higher than this over the ground does not block, m."),
    "max_step": (0.001, 1.0, "A step, up or down, that the robot drives over, m."),
    "max_slope": (0.01, 0.78, "Steepest ground that the robot drives on, rad."),
    "max_gap": (0.01, 5.0, "Unmeasured stretch between two pieces of seen ground that counts as seen, m."),
    "min_points": (1, 100, "So many points next to each other make an obstacle or a hole."),
    "max_points": (1000, 2_000_000, "Most points of a depth image; more pixels are thinned out."),
    "height_noise": (0.001, 0.5, "How far measured ground may lie off its slope, m."),
    "depth_error": (1e-5, 0.1, "Times the depth squared it is the standard deviation of depth, 1/m."),
    "points_error": (0.001, 0.5, "Standard deviation of a point's distance, m."),
    "max_time_difference": (0.001, 1.0, "Between the image and what was measured, s; beyond that it is refused."),
}

# The same for each field of GridSettings.
_GRID = {
    "width": (1.0, 500.0, "Extent along x of the odom frame, m."),
    "height": (1.0, 500.0, "Extent along y of the odom frame, m."),
    "resolution": (0.01, 2.0, "Edge of a cell, m; not finer than the costmap that reads it."),
    "half_life": (0.05, 3600.0, "Time after which evidence counts half, s."),
    "prior_strength": (1e-6, 10.0, 'Frames of "could be anything" mixed into every cell.'),
    "min_evidence": (1e-4, 100.0, "Frames of evidence below which a cell is unknown."),
    "half_lives": (
        -math.inf,
        math.inf,
        'Half-lives of single classes that have another one, each written as "CLASS: SECONDS".',
    ),
    "clearing": (0.0, 1.0, "Share of standing things that one clear look at ground in their place takes away."),
    "max_entropy": (0.01, 1.0, "Doubt about the class above which a cell that is not lethal is unknown; 1 allows all."),
    "full_sharpness": (0.0, 1e6, "Variance of the Laplacian from which an image counts fully; 0 does not look."),
    "full_exposure": (
        0.0,
        1.0,
        "Share of pixels neither black nor white from which an image counts fully; 0 does not look.",
    ),
}

# The network's graph is built for a number of samples, and the costmap's readers for its size.
_FIXED = ("ground.max_samples", "grid.width", "grid.height", "grid.resolution")


_KINDS: dict[type, Kind] = {int: "integer", float: "double", tuple: "string array"}


def _of_settings(
    prefix: str,
    settings: GroundSettings | ProjectionSettings | GridSettings,
    table: Mapping[str, tuple[float, float, str]],
) -> tuple[NodeParameter, ...]:
    """One parameter per field in the table, with the field's own default."""
    parameters = []
    for field, (low, high, description) in table.items():
        name, default = f"{prefix}.{field}", getattr(settings, field)
        kind = _KINDS[type(default)]
        parameters.append(NodeParameter(name, kind, default, description, low, high, read_only=name in _FIXED))
    return tuple(parameters)


GROUPS = (
    Group(
        "Network",
        (
            NodeParameter("model", "string", "", "ONNX file; empty for the shipped network.", read_only=True),
            NodeParameter("model_card", "string", "", "Its model card; empty for the one beside it.", read_only=True),
            NodeParameter(
                "backend", "string", "auto", "What runs the network; auto takes the first that can.",
                choices=BACKENDS, read_only=True,
            ),
            NodeParameter(
                "precision", "string", "fp32", "What TensorRT computes the network in; see docs/concepts/precision.md.",
                choices=PRECISIONS, read_only=True,
            ),
            NodeParameter(
                "threads", "integer", 0, "CPU threads of the network; 0 for one per core.", 0, 256, read_only=True
            ),
        ),
    ),
    Group(
        "Costs",
        (
            NodeParameter("cost_matrix", "string", "", "Cost matrix YAML; empty for the shipped road_car.yaml."),
            NodeParameter(
                "cost_overrides", "string array", (),
                "Single costs instead of the file's, each written as \"traverse.CLASS: COST\" or "
                '"misclassification.DECISION.TRUTH: COST".',
            ),
            NodeParameter(
                "risk.alpha", "double", -1.0,
                "Risk level: a cell costs the mean of the worst 1 - alpha of the probability; negative for the file's.",
                -1.0, 0.999,
            ),
            NodeParameter(
                "risk.lethal_at", "double", -1.0,
                "Risk from which on a cell is lethal, nav2 units from 1; negative for the file's.", -1.0, 254.0,
            ),
        ),
    ),
    Group(
        "Camera",
        (
            NodeParameter(
                "cameras", "string array", (),
                "Names of several cameras, each with topics and parameters of its own below its name; empty for one.",
                read_only=True,
            ),
            NodeParameter(
                "image_transport", "string", "raw", "Whether to take `image` or `image/compressed`.",
                choices=("raw", "compressed"), read_only=True,
            ),
            NodeParameter(
                "image_reliability", "string", "auto",
                "QoS of the image subscription; auto is best effort until announced images do not arrive.",
                choices=get_args(Reliability), read_only=True,
            ),
            NodeParameter(
                "depth_transport", "string", "raw", "Whether to take `depth` or `depth/compressedDepth`.",
                choices=("raw", "compressedDepth"), read_only=True,
            ),
            NodeParameter(
                "ranging_reliability", "string", "auto",
                "QoS of depth images and point clouds; auto is best effort until those of a publisher do not arrive.",
                choices=get_args(Reliability), read_only=True,
            ),
        ),
    ),
    Group(
        "Poses",
        (
            NodeParameter(
                "pose_source", "string", "auto", "Where poses come from; auto is tf where tf2_ros is installed.",
                choices=("auto", "tf", "odometry"), read_only=True,
            ),
            NodeParameter("odom_frame", "string", "odom", "The fixed frame (REP-105).", read_only=True),
            NodeParameter("base_frame", "string", "base_link", "The robot's frame (REP-105).", read_only=True),
            NodeParameter(
                "mount", "double array", (),
                "Pose of the camera's body in the base frame: x, y, z in m, roll, pitch, yaw in rad, a positive pitch "
                "looks down; outranks tf; empty for tf's.", read_only=True,
            ),
        ),
    ),
    Group("Ground: where the image is asked about it", _of_settings("ground", GroundSettings(), _GROUND)),
    Group(
        "Projection: where the things in an image are; see docs/concepts/ground_projection.md",
        (
            NodeParameter(
                "projection.mode", "string", "auto",
                "auto takes for each image points, else depth, else flat ground; any other takes that one only.",
                choices=get_args(ProjectionMode), read_only=True,
            ),
            *_of_settings("projection", ProjectionSettings(), _PROJECTION),
        ),
    ),
    Group("Grid: what the costmap remembers", _of_settings("grid", GridSettings(), _GRID)),
    Group(
        "Outputs",
        (
            NodeParameter(
                "costmap_rate", "double", 5.0, "Most costmaps per second, Hz; at most nav2's update_frequency.",
                0.1, 100.0,
            ),
            NodeParameter(
                "expected_cost_encoding", "string", "mono8",
                "Encoding of `~/expected_cost`: whole nav2 units, or floats.", choices=("mono8", "32FC1"),
            ),
        ),
    ),
    Group(
        "Time and staleness",
        (
            NodeParameter("max_image_age", "double", 1.0, "Older images are dropped, s.", 0.01, 60.0),
            NodeParameter(
                "max_image_lead", "double", 0.1, "Images further in the future than this are dropped, s.", 0.0, 10.0
            ),
            NodeParameter(
                "transform_timeout", "double", 0.2, "Longest wait for the transform at an image's stamp, s.", 0.0, 5.0
            ),
            NodeParameter(
                "ranging_timeout", "double", 0.05,
                "Longest wait for depth and points of an image's time, and for their transforms, s.", 0.0, 1.0,
            ),
            NodeParameter(
                "stale_after", "double", 1.0, "Without a result for this long the costmap is blanked, s.", 0.1, 60.0
            ),
            NodeParameter(
                "stale_cost", "string", "unknown", "What the field of view becomes then.", choices=("unknown", "lethal")
            ),
        ),
    ),
)  # fmt: skip

CAMERA_PARAMETERS = (
    NodeParameter("model", "string", "", "ONNX file; empty for the node's `model`.", read_only=True),
    NodeParameter(
        "model_card", "string", "", "Its model card; empty for the one beside it, or the node's `model_card`.",
        read_only=True,
    ),
    NodeParameter("mount", "double array", (), "As the node's `mount`; empty for that one.", read_only=True),
    NodeParameter(
        "weight", "double", 1.0, "Share of the work, against the other cameras', when not all images can be worked on.",
        0.01, 100.0, read_only=True,
    ),
)  # fmt: skip
"""What each of several cameras may have of its own, below its name."""

PARAMETERS: dict[str, NodeParameter] = {entry.name: entry for group in GROUPS for entry in group.parameters}
"""Every parameter by its name, in the order of the groups."""


def camera_parameters(cameras: Iterable[str]) -> dict[str, NodeParameter]:
    """Every parameter that cameras of these names have of their own, by its whole name."""
    return {
        (name := f"{camera}.{entry.name}"): replace(entry, name=name)
        for camera in cameras
        for entry in CAMERA_PARAMETERS
    }
