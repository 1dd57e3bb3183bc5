"""What the node is told by its parameters: checked together, typed, and free of ROS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from seg_perception.config import PipelineSettings
from seg_perception.costmap.grid_settings import GridSettings, read_half_lives
from seg_perception.costmap.memory import ClassMemory
from seg_perception.geometry.ground import GroundSettings
from seg_perception.geometry.projection_settings import ProjectionSettings
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.inference.choices import Backend
from seg_perception.model_card import Precision
from seg_perception.resources import find
from seg_perception.risk.cost_matrix import CostMatrix, read_changes
from seg_perception.ros.parameter_table import PARAMETERS
from seg_perception.yamlfile import Section

_Settings = TypeVar("_Settings", GroundSettings, GridSettings, ProjectionSettings)


@dataclass(frozen=True)
class NodeSettings:
    """Everything the node's parameters say.

    Attributes:
        model: ONNX file.
        card: model card; None for the one beside the model.
        backend: what runs the network.
        precision: what TensorRT computes it in.
        threads: CPU threads of the network; None for one per core.
        cost_matrix: YAML file.
        cost_overrides: single costs that replace those of the file.
        alpha: risk level; None for the file's.
        lethal_at: risk from which on a cell is lethal, nav2 units; None for the file's.
        pipeline: ground, projection and grid.
        image_transport: which image topic to take.
        image_reliability: QoS of its subscription.
        depth_transport: which depth topic to take.
        pose_source: where poses come from.
        odom_frame: the fixed frame (REP-105).
        base_frame: the robot's frame (REP-105).
        mount: base_from_optical, which outranks tf; None for tf's.
        costmap_rate: most costmaps per second, Hz.
        expected_cost_encoding: encoding of the image of expected cost.
        max_image_age: older images are dropped, s.
        max_image_lead: images further in the future are dropped, s.
        transform_timeout: longest wait for a transform, s.
        ranging_timeout: longest wait for depth, points and their transforms, s.
        stale_after: time without a result after which the costmap is blanked, s.
        stale_cost: what the field of view becomes then.
    """

    model: Path
    card: Path | None
    backend: Backend
    precision: Precision
    threads: int | None
    cost_matrix: Path
    cost_overrides: tuple[str, ...]
    alpha: float | None
    lethal_at: float | None
    pipeline: PipelineSettings
    image_transport: Literal["raw", "compressed"]
    image_reliability: Literal["auto", "best_effort", "reliable"]
    depth_transport: Literal["raw", "compressedDepth"]
    pose_source: Literal["auto", "tf", "odometry"]
    odom_frame: str
    base_frame: str
    mount: Transform | None
    costmap_rate: float
    expected_cost_encoding: Literal["mono8", "32FC1"]
    max_image_age: float
    max_image_lead: float
    transform_timeout: float
    ranging_timeout: float
    stale_after: float
    stale_cost: Literal["unknown", "lethal"]


def settings_of(values: Mapping[str, Any]) -> NodeSettings:
    """Check all parameters, each by itself and then together.

    Args:
        values: by name; a parameter that is left out has its default, and names that are not the node's are left alone.

    Raises:
        ConfigError: a value is wrong; one sentence names the parameter.
        SegPerceptionError: a shipped file is asked for and is not there.
    """
    # The table's kinds and choices are the types of the fields; mypy cannot see that through a mapping.
    checked: dict[str, Any] = {
        name: entry.checked(values.get(name, entry.default)) for name, entry in PARAMETERS.items()
    }
    for name in ("odom_frame", "base_frame"):
        if not checked[name].strip() or checked[name].startswith("/"):
            raise PARAMETERS[name].error(f"is '{checked[name]}'; give a frame's name without a leading '/'")
    if checked["odom_frame"] == checked["base_frame"]:
        raise PARAMETERS["base_frame"].error(f"is '{checked['base_frame']}', as odom_frame is; give two frames")
    # [""] is how an empty list is written where a list must have a type.
    for name in ("cost_overrides", "grid.half_lives"):
        checked[name] = tuple(entry for entry in checked[name] if entry)
    checked["grid.half_lives"] = read_half_lives(checked["grid.half_lives"], "parameter 'grid.half_lives'")
    read_changes(checked["cost_overrides"], "parameter 'cost_overrides'")
    return NodeSettings(
        model=Path(checked["model"]) if checked["model"] else find("models/urban.onnx"),
        card=Path(checked["model_card"]) if checked["model_card"] else None,
        backend=checked["backend"],
        precision=checked["precision"],
        threads=checked["threads"] or None,
        cost_matrix=Path(checked["cost_matrix"] or find("config/cost_matrices/road_car.yaml")),
        cost_overrides=checked["cost_overrides"],
        alpha=_unless_negative(checked["risk.alpha"]),
        lethal_at=_unless_negative(checked["risk.lethal_at"]),
        pipeline=PipelineSettings(
            ground=_fields(GroundSettings, "ground", checked),
            grid=_fields(GridSettings, "grid", checked),
            projection=_fields(ProjectionSettings, "projection", checked),
        ),
        mount=_mount(checked["mount"]),
        **{name: checked[name] for name in _TAKEN_AS_THEY_ARE},
    )


_TAKEN_AS_THEY_ARE = (
    "image_transport", "image_reliability", "depth_transport", "pose_source", "odom_frame", "base_frame",
    "costmap_rate", "expected_cost_encoding", "max_image_age", "max_image_lead", "transform_timeout",
    "ranging_timeout", "stale_after", "stale_cost",
)  # fmt: skip


def load_matrix(settings: NodeSettings, classes: Sequence[str]) -> CostMatrix:
    """The cost matrix as the parameters want it: the file, single costs changed, and the risk level.

    Args:
        settings: cost_matrix, cost_overrides, alpha and lethal_at are read, and checked are the classes that the grid
            is to remember in a way of their own.
        classes: the model's class names in the model's order.

    Raises:
        ConfigError: the file is wrong, or what replaces its entries is, or the grid is told of a class that there is
            not.
    """
    risk = {"alpha": settings.alpha, "lethal_at": settings.lethal_at}
    given = {"risk": {name: value for name, value in risk.items() if value is not None}}
    matrix = CostMatrix.load(settings.cost_matrix, classes)
    matrix = matrix.changed(read_changes(settings.cost_overrides, "parameter 'cost_overrides'"))
    matrix = matrix.changed(Section(Path("parameters"), "", given))
    ClassMemory.of(settings.pipeline.grid, matrix)
    return matrix


def _unless_negative(value: float) -> float | None:
    return None if value < 0 else value


def _fields(kind: type[_Settings], prefix: str, checked: Mapping[str, Any]) -> _Settings:
    return kind(**{field.name: checked[f"{prefix}.{field.name}"] for field in fields(kind)})


def _mount(numbers: tuple[float, ...]) -> Transform | None:
    if not numbers:
        return None
    if len(numbers) != 6:
        raise PARAMETERS["mount"].error(f"has {len(numbers)} numbers; give six, x y z roll pitch yaw, or none")
    return mount_to_base_from_optical(*numbers)
