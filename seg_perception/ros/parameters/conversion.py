"""Parameter values become settings: checked by themselves, then together, and typed. Free of ROS."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.risk.cost_matrix import read_changes
from seg_perception.ros.parameters.node_settings import CameraSettings, NodeSettings
from seg_perception.ros.parameters.table import PARAMETERS, NodeParameter, camera_parameters, section_values
from seg_perception.settings.field import declared_sections
from seg_perception.settings.grid import read_half_lives
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.utils.package_files import find

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def read_node_settings(values: Mapping[str, Any]) -> NodeSettings:
    """Check all parameters, each by itself and then together.

    Args:
        values: by name; a parameter that is left out has its default, and other names are ignored. `ground.resolution`
            is accepted where it equals `grid.resolution`.

    Raises:
        ConfigError: a value is wrong; one sentence names the parameter.
        SegPerceptionError: a shipped file is asked for and is not there.
    """
    # The declared kinds and choices are the types of the fields; mypy cannot see that through a mapping.
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
    if "ground.resolution" in values:
        checked["ground.resolution"] = values["ground.resolution"]
    model = Path(checked["model"]) if checked["model"] else find("models/urban.onnx")
    card = Path(checked["model_card"]) if checked["model_card"] else None
    mount = _mount(PARAMETERS["mount"], checked["mount"])
    common = CameraSettings(name="", model=model, card=card, mount=mount, weight=1.0)
    cameras = tuple(_camera(name, common, values) for name in camera_names(checked["cameras"]))
    sections = {name: section_values(checked, name) for name in declared_sections(PipelineSettings)}
    converted: dict[str, Any] = {
        "model": model,
        "card": card,
        "threads": checked["threads"] or None,
        "cost_matrix": Path(checked["cost_matrix"] or find("config/cost_matrices/road_car.yaml")),
        "alpha": _unless_negative(checked["risk.alpha"]),
        "lethal_at": _unless_negative(checked["risk.lethal_at"]),
        "pipeline": PipelineSettings.from_values(sections),
        "cameras": cameras or (common,),
        "mount": mount,
    }
    # Of every other setting, the checked value is the setting.
    names = {field.name for field in fields(NodeSettings)}
    return NodeSettings(**{name: value for name, value in checked.items() if name in names} | converted)


def camera_names(given: Sequence[str]) -> tuple[str, ...]:
    """The value of parameter `cameras`, checked.

    Raises:
        ConfigError: a name is not allowed in a topic's name, is another parameter's, or is given twice.
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


def _unless_negative(value: float) -> float | None:
    return None if value < 0 else value


def _mount(entry: NodeParameter, numbers: tuple[float, ...]) -> Transform | None:
    if not numbers:
        return None
    if len(numbers) != 6:
        raise entry.error(f"has {len(numbers)} numbers; give six, x y z roll pitch yaw, or none")
    return mount_to_base_from_optical(*numbers)
