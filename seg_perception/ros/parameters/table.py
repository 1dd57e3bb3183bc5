"""The node's parameters, gathered from the declared settings: what ROS declares, checks, documents and ships."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from seg_perception.errors import ConfigError
from seg_perception.ros.parameters.node_settings import CameraSettings, NodeSettings
from seg_perception.settings.field import Setting, SettingKind, SettingValue, declared_sections

ParameterType = Literal["string", "integer", "double", "string array", "double array"]

_TYPES: dict[SettingKind | None, ParameterType] = {
    "text": "string",
    "integer": "integer",
    "number": "double",
    "texts": "string array",
    "numbers": "double array",
}


@dataclass(frozen=True)
class NodeParameter:
    """One parameter of the node.

    Attributes:
        name: as ROS knows it; a dot separates section and name.
        setting: its declaration, in a kind that ROS has.
    """

    name: str
    setting: Setting

    @property
    def ros_type(self) -> ParameterType:
        """The parameter's type in ROS."""
        return _TYPES[self.setting.kind]

    @property
    def default(self) -> SettingValue:
        """Its value where none is given."""
        return self.setting.default

    @property
    def description(self) -> str:
        """What it is, and its unit."""
        return f"{self.setting.text} Unit: {self.setting.unit}." if self.setting.unit else self.setting.text

    def checked(self, value: Any) -> Any:
        """The value in this parameter's type; a whole number is accepted as a double.

        Raises:
            ConfigError: it has another type or is not allowed.
        """
        return self.setting.checked(value, f"parameter '{self.name}'")

    def error(self, problem: str) -> ConfigError:
        """A ConfigError that names this parameter."""
        return ConfigError(f"parameter '{self.name}' {problem}.")


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that belong together, under a title."""

    title: str
    parameters: tuple[NodeParameter, ...]


def _parameter(name: str, setting: Setting) -> NodeParameter:
    """ROS has no mapping: numbers by name become texts."""
    if setting.kind == "numbers by name":
        setting = replace(setting, kind="texts", text=f'{setting.text} Each is written as "CLASS: SECONDS".')
    return NodeParameter(name, setting)


def _groups() -> tuple[ParameterGroup, ...]:
    groups: dict[str, list[NodeParameter]] = {}
    for field in dataclasses.fields(NodeSettings):
        if "sections" in field.metadata:
            for section, (title, declared) in declared_sections(field.metadata["sections"]).items():
                groups[title] = [_parameter(f"{section}.{name}", entry) for name, entry in declared.items()]
        else:
            group = groups.setdefault(field.metadata["group"], [])
            group.append(_named(field))
    return tuple(ParameterGroup(title, tuple(entries)) for title, entries in groups.items())


def _named(field: dataclasses.Field[Any]) -> NodeParameter:
    return _parameter(field.metadata["name"] or field.name, field.metadata["setting"])


GROUPS = _groups()
"""Every parameter, in the order in which files and tables list them."""

CAMERA_PARAMETERS = tuple(_named(field) for field in dataclasses.fields(CameraSettings) if field.metadata)
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


def section_values(values: Mapping[str, Any], section: str) -> dict[str, Any]:
    """The values of one section of the pipeline's settings, by field name.

    Args:
        values: by the parameters' names.
        section: such as "grid".
    """
    prefix = f"{section}."
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
