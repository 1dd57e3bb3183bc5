"""The settings of the node: each field declares the parameter that it comes from. Free of ROS."""

# ruff: noqa: RUF009 - the calls declare fields
from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from seg_perception.costmap.decay import EvidenceDecay
from seg_perception.geometry.transforms import Transform
from seg_perception.inference.options import BACKENDS, Backend
from seg_perception.model.card import PRECISIONS, Precision
from seg_perception.risk.cost_matrix import CostMatrix, read_changes
from seg_perception.ros.reliability import Reliability
from seg_perception.settings.field import Setting, SettingValue
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.settings.yaml_file import Section


def _parameter(group: str, default: SettingValue, text: str, *, name: str = "", **declared: Any) -> Any:
    """A field whose value is made of a ROS parameter; `default` is the parameter's, `name` where it is another one."""
    return dataclasses.field(metadata={"setting": Setting(default, text, **declared), "group": group, "name": name})


_own = partial(_parameter, "")
_network = partial(_parameter, "Network")
_costs = partial(_parameter, "Costs")
_camera = partial(_parameter, "Camera")
_poses = partial(_parameter, "Poses")
_outputs = partial(_parameter, "Outputs")
_time = partial(_parameter, "Time and staleness")


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """What one of the cameras has of its own.

    Attributes:
        name: of the camera; "" for the only one.
        card: None for the one next to the model.
        mount: base_from_optical; None for the pose of tf.
    """

    name: str
    model: Path = _own("", "ONNX file; empty for the node's `model`.", changeable=False)
    card: Path | None = _own(
        "",
        "Its model card; empty for the one next to it, or the node's `model_card`.",
        name="model_card",
        changeable=False,
    )
    mount: Transform | None = _own((), "As the node's `mount`; empty for that one.", kind="numbers", changeable=False)
    weight: float = _own(
        1.0,
        "Share of the work, against the other cameras', when there is no time for all images.",
        minimum=0.01, maximum=100.0, changeable=False,
    )  # fmt: skip

    @property
    def prefix(self) -> str:
        """What stands before the names of its topics."""
        return f"{self.name}/" if self.name else ""


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """Everything the node's parameters say.

    Attributes:
        card: None for the one next to the model.
        threads: None for one per core.
        alpha: None for that of the cost matrix.
        lethal_at: None for that of the cost matrix.
        cameras: at least one; what a camera does not have of its own is the node's.
        mount: base_from_optical; None for the pose of tf.
    """

    model: Path = _network("", "ONNX file; empty for the shipped network.", changeable=False)
    card: Path | None = _network(
        "", "Its model card; empty for the one next to it.", name="model_card", changeable=False
    )
    backend: Backend = _network(
        "auto", "What runs the network; auto takes the first that can.", choices=BACKENDS, changeable=False
    )
    precision: Precision = _network(
        "fp32",
        "Precision in which TensorRT runs the network; see docs/concepts/precision.md.",
        choices=PRECISIONS,
        changeable=False,
    )
    threads: int | None = _network(
        0, "CPU threads of the network; 0 for one per core.", minimum=0, maximum=256, changeable=False
    )
    cost_matrix: Path = _costs("", "Cost matrix YAML; empty for the shipped road_car.yaml.")
    cost_overrides: tuple[str, ...] = _costs(
        (),
        'Single costs that replace those of the file, each written as "traverse.CLASS: COST" or '
        '"misclassification.DECISION.TRUTH: COST".',
    )
    alpha: float | None = _costs(
        -1.0,
        "Risk level: a cell costs the mean of the worst 1 - alpha of the probability; negative for the file's.",
        name="risk.alpha",
        minimum=-1.0,
        maximum=0.999,
    )
    lethal_at: float | None = _costs(
        -1.0,
        "Risk from which on a cell is lethal, from 1; negative for the file's.",
        name="risk.lethal_at",
        unit="nav2 cost",
        minimum=-1.0,
        maximum=254.0,
    )
    cameras: tuple[CameraSettings, ...] = _camera(
        (),
        "Names of several cameras, each with topics and parameters of its own below its name; empty for one.",
        changeable=False,
    )
    image_transport: Literal["raw", "compressed"] = _camera(
        "raw",
        "Whether to subscribe to `image` or to `image/compressed`.",
        choices=("raw", "compressed"),
        changeable=False,
    )
    image_reliability: Reliability = _camera(
        "auto",
        "QoS of the image subscription; auto is best effort until announced images do not arrive.",
        choices=get_args(Reliability),
        changeable=False,
    )
    depth_transport: Literal["raw", "compressedDepth"] = _camera(
        "raw",
        "Whether to subscribe to `depth` or to `depth/compressedDepth`.",
        choices=("raw", "compressedDepth"),
        changeable=False,
    )
    ranging_reliability: Reliability = _camera(
        "auto",
        "QoS of depth images and point clouds; auto is best effort until those of a publisher do not arrive.",
        choices=get_args(Reliability),
        changeable=False,
    )
    pose_source: Literal["auto", "tf", "odometry"] = _poses(
        "auto",
        "Where poses come from; auto is tf where tf2_ros is installed.",
        choices=("auto", "tf", "odometry"),
        changeable=False,
    )
    odom_frame: str = _poses("odom", "The fixed frame (REP-105).", changeable=False)
    base_frame: str = _poses("base_link", "The robot's frame (REP-105).", changeable=False)
    mount: Transform | None = _poses(
        (),
        "Extrinsics: pose of the camera's body in the base frame as x, y, z in m and roll, pitch, yaw in rad. A "
        "positive pitch looks down. They outrank tf; empty for those of tf.",
        kind="numbers",
        changeable=False,
    )
    pipeline: PipelineSettings = dataclasses.field(metadata={"sections": PipelineSettings})
    costmap_rate: float = _outputs(
        5.0, "Most costmaps per second; at most nav2's update_frequency.", unit="Hz", minimum=0.1, maximum=100.0
    )
    expected_cost_encoding: Literal["mono8", "32FC1"] = _outputs(
        "mono8", "Encoding of `~/expected_cost`: whole nav2 costs, or floats.", choices=("mono8", "32FC1")
    )
    max_image_age: float = _time(1.0, "The node drops older images.", unit="s", minimum=0.01, maximum=60.0)
    max_image_lead: float = _time(
        0.1, "The node drops images further in the future than this.", unit="s", minimum=0.0, maximum=10.0
    )
    transform_timeout: float = _time(
        0.2, "Longest wait for the transform at an image's stamp.", unit="s", minimum=0.0, maximum=5.0
    )
    ranging_timeout: float = _time(
        0.05,
        "Longest wait for depth and points of an image's time, and for their transforms.",
        unit="s",
        minimum=0.0,
        maximum=1.0,
    )
    stale_after: float = _time(
        1.0, "Time without a result after which the node blanks the costmap.", unit="s", minimum=0.1, maximum=60.0
    )
    stale_cost: Literal["unknown", "lethal"] = _time(
        "unknown", "What the field of view becomes then.", choices=("unknown", "lethal")
    )  # fmt: skip


def load_matrix(settings: NodeSettings, classes: Sequence[str]) -> CostMatrix:
    """The cost matrix that the parameters ask for: the file, with single costs and the risk level replaced.

    Args:
        settings: gives cost_matrix, cost_overrides, alpha, lethal_at and the classes with a half-life of their own.
        classes: the model's class names in the model's order.

    Raises:
        ConfigError: the file or a replaced entry is wrong, or a half-life names a class that the model does not have.
    """
    risk = {"alpha": settings.alpha, "lethal_at": settings.lethal_at}
    given = {"risk": {name: value for name, value in risk.items() if value is not None}}
    matrix = CostMatrix.load(settings.cost_matrix, classes)
    matrix = matrix.changed(read_changes(settings.cost_overrides, "parameter 'cost_overrides'"))
    matrix = matrix.changed(Section(Path("parameters"), "", given))
    EvidenceDecay.of(settings.pipeline.grid, matrix)
    return matrix
