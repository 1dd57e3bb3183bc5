"""What the node is told by its parameters: checked together, typed, and free of ROS."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from seg_perception.costmap.decay import ClassMemory
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.inference.options import Backend
from seg_perception.model.card import Precision
from seg_perception.projection.flat_ground.sampling import GroundSettings
from seg_perception.risk.cost_matrix import CostMatrix, read_changes
from seg_perception.ros.inputs.reliability_fallback import Reliability
from seg_perception.ros.parameters.table import PARAMETERS, NodeParameter, camera_parameters
from seg_perception.settings.grid import GridSettings, read_half_lives
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.settings.projection import ProjectionSettings
from seg_perception.settings.yaml_file import Section
from seg_perception.utils.package_files import find

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

_Settings = TypeVar("_Settings", GroundSettings, GridSettings, ProjectionSettings)


@dataclass(frozen=True)
class CameraSettings:
    """What one of the cameras has of its own.

    Attributes:
        name: of the camera; "" for the only one.
        model: ONNX file.
        card: model card; None for the one beside the model.
        mount: base_from_optical, which outranks tf; None for tf's.
        weight: share of the work when not all images can be worked on.
    """

    name: str
    model: Path
    card: Path | None
    mount: Transform | None
    weight: float

    @property
    def prefix(self) -> str:
        """What stands before the names of its topics."""
        return f"{self.name}/" if self.name else ""


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
        cameras: at least one; what they do not have of their own is the node's.
        image_transport: which image topic to take.
        image_reliability: QoS of its subscription.
        depth_transport: which depth topic to take.
        ranging_reliability: QoS of the subscriptions to depth images and point clouds.
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
    cameras: tuple[CameraSettings, ...]
    image_transport: Literal["raw", "compressed"]
    image_reliability: Reliability
    depth_transport: Literal["raw", "compressedDepth"]
    ranging_reliability: Reliability
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
    model = Path(checked["model"]) if checked["model"] else find("models/urban.onnx")
    card = Path(checked["model_card"]) if checked["model_card"] else None
    mount = _mount(PARAMETERS["mount"], checked["mount"])
    common = CameraSettings("", model, card, mount, 1.0)
    cameras = tuple(_camera(name, common, values) for name in camera_names(checked["cameras"]))
    return NodeSettings(
        model=model,
        card=card,
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
        cameras=cameras or (common,),
        mount=mount,
        **{name: checked[name] for name in _TAKEN_AS_THEY_ARE},
    )


_TAKEN_AS_THEY_ARE = (
    "image_transport", "image_reliability", "depth_transport", "ranging_reliability", "pose_source",
    "odom_frame", "base_frame", "costmap_rate", "expected_cost_encoding", "max_image_age", "max_image_lead",
    "transform_timeout", "ranging_timeout", "stale_after", "stale_cost",
)  # fmt: skip


def camera_names(given: Sequence[str]) -> tuple[str, ...]:
    """The value of parameter `cameras`, checked.

    Raises:
        ConfigError: a name cannot stand in a topic's name, is another parameter's, or is given twice.
    """
    entry = PARAMETERS["cameras"]
    names = tuple(name for name in given if name)
    taken = {"qos_overrides", *(name.partition(".")[0] for name in PARAMETERS)}
    for number, name in enumerate(names):
        if not _NAME.fullmatch(name):
            raise entry.error(f"has '{name}'; give names of letters, digits and '_' that begin with a letter")
        if name in taken:
            raise entry.error(f"has '{name}', which other parameters are called; give that camera another name")
        if name in names[:number]:
            raise entry.error(f"has '{name}' twice; give each camera a name of its own")
    return names


def _camera(name: str, common: CameraSettings, values: Mapping[str, Any]) -> CameraSettings:
    entries = camera_parameters([name])
    own: dict[str, Any] = {
        entry.name.partition(".")[2]: entry.checked(values.get(entry.name, entry.default)) for entry in entries.values()
    }
    card = None if own["model"] else common.card
    mount = _mount(entries[f"{name}.mount"], own["mount"])
    return CameraSettings(
        name=name,
        model=Path(own["model"]) if own["model"] else common.model,
        card=Path(own["model_card"]) if own["model_card"] else card,
        mount=common.mount if mount is None else mount,
        weight=own["weight"],
    )


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


def _mount(entry: NodeParameter, numbers: tuple[float, ...]) -> Transform | None:
    if not numbers:
        return None
    if len(numbers) != 6:
        raise entry.error(f"has {len(numbers)} numbers; give six, x y z roll pitch yaw, or none")
    return mount_to_base_from_optical(*numbers)
