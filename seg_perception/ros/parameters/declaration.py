"""The node's parameters in rclpy: declares them from the table, reads them as settings, applies changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.parameter import Parameter

from seg_perception.errors import ConfigError, SegPerceptionError
from seg_perception.ros.parameters.conversion import camera_names, read_node_settings
from seg_perception.ros.parameters.node_settings import NodeSettings
from seg_perception.ros.parameters.table import PARAMETERS, NodeParameter, ParameterType, camera_parameters
from seg_perception.settings.field import SettingValue
from seg_perception.settings.pipeline import check_ground_resolution
from seg_perception.settings.yaml_file import did_you_mean

_TYPES: dict[ParameterType, Any] = {
    "string": Parameter.Type.STRING,
    "integer": Parameter.Type.INTEGER,
    "double": Parameter.Type.DOUBLE,
    "string array": Parameter.Type.STRING_ARRAY,
    "double array": Parameter.Type.DOUBLE_ARRAY,
}


def declare(node: Any) -> None:
    """Declare every parameter of the table, with the values that the node was started with.

    The node warns of a parameter that it was given but does not have: it may be misspelt. It is no error, because a
    file may hold parameters for several nodes.

    Args:
        node: any node.

    Raises:
        ConfigError: a value it was started with has the wrong type or is outside its limits, or `ground.resolution`
            contradicts `grid.resolution`. `current` checks what other values say together.
    """
    for entry in PARAMETERS.values():
        _declare(node, entry)
    for entry in camera_parameters(camera_names(node.get_parameter("cameras").value)).values():
        _declare(node, entry)
    # No parameter any more, but files still have it.
    check_ground_resolution(_given(node, "ground.resolution"), node.get_parameter("grid.resolution").value)
    for name in _unknown(node):
        _report_unknown(node, name)


def current(node: Any) -> NodeSettings:
    """The settings that the parameters give now.

    Raises:
        ConfigError: their values contradict each other.
        SegPerceptionError: a shipped file is asked for and is not there.
    """
    return read_node_settings(_values(node))


def on_change(node: Any, validate: Callable[[NodeSettings], None], apply: Callable[[NodeSettings], None]) -> None:
    """Accept changes while running: those that come together are checked together, and none is kept if one is wrong.

    Args:
        node: one whose parameters are declared.
        validate: raises SegPerceptionError, whose sentence becomes the reason of the refusal, for settings that are
            right by themselves but cannot be used.
        apply: called with the new settings once they are set; must not raise.
    """
    has_post_callback = hasattr(node, "add_post_set_parameters_callback")  # not on Humble

    def check(changes: list[Any]) -> Any:
        given = {change.name: change.value for change in changes if change.name in PARAMETERS}
        if given:
            try:
                settings = read_node_settings({**_values(node), **given})
                validate(settings)
            except SegPerceptionError as error:
                return SetParametersResult(successful=False, reason=str(error))
            if not has_post_callback:
                apply(settings)
        return SetParametersResult(successful=True)

    def changed(changes: list[Any]) -> None:
        if any(change.name in PARAMETERS for change in changes):
            apply(current(node))

    node.add_on_set_parameters_callback(check)
    if has_post_callback:
        node.add_pre_set_parameters_callback(_in_declared_types)
        node.add_post_set_parameters_callback(changed)


def _declare(node: Any, entry: NodeParameter) -> None:
    given = _given(node, entry.name)
    value = entry.default if given is None else entry.checked(given)
    if value == ():
        # Nor can it declare an empty array, but it can set one.
        node.declare_parameter(entry.name, _TYPES[entry.ros_type], ignore_override=True)
        node.set_parameters([_typed(entry, value)])
        node.set_descriptor(entry.name, _descriptor(entry))
    else:
        node.declare_parameter(entry.name, value, _descriptor(entry), ignore_override=True)


def _given(node: Any, name: str) -> Any:
    """The value that the node was started with; None for none."""
    # Declared without a type: rclpy reports a wrong type with a traceback, and has no type at all for `[]`.
    given = node.declare_parameter(name, None, ParameterDescriptor(dynamic_typing=True)).value
    node.undeclare_parameter(name)
    return given


def _descriptor(entry: NodeParameter) -> Any:
    setting = entry.setting
    descriptor = ParameterDescriptor(
        name=entry.name,
        type=_TYPES[entry.ros_type].value,
        description=entry.description,
        additional_constraints=f"one of {', '.join(setting.choices)}" if setting.choices else "",
        read_only=not setting.changeable,
    )
    if entry.ros_type == "integer":
        descriptor.integer_range = [
            IntegerRange(from_value=int(setting.minimum), to_value=int(setting.maximum), step=1)
        ]
    elif entry.ros_type == "double":
        descriptor.floating_point_range = [FloatingPointRange(from_value=setting.minimum, to_value=setting.maximum)]
    return descriptor


def _values(node: Any) -> dict[str, Any]:
    names = [*PARAMETERS, *camera_parameters(camera_names(node.get_parameter("cameras").value))]
    return {name: node.get_parameter(name).value for name in names}


def _typed(entry: NodeParameter, value: SettingValue) -> Any:
    return Parameter(entry.name, _TYPES[entry.ros_type], value)


def _in_declared_types(changes: list[Any]) -> list[Any]:
    """Changes in the types that rclpy will insist on.

    `ros2 param set` sends 1 as a whole number where a double is declared, and [] as an empty list of truth values.
    """
    return [_in_declared_type(change) for change in changes]


def _in_declared_type(change: Any) -> Any:
    entry = PARAMETERS.get(change.name)
    try:
        return change if entry is None else _typed(entry, entry.checked(change.value))
    except ConfigError:
        return change  # the check that comes next refuses it with a reason


def _unknown(node: Any) -> list[str]:
    # rclpy has no public way to ask; without it there is no warning.
    given = getattr(node, "_parameter_overrides", {})
    others = [name for name in given if name != "ground.resolution" and not name.startswith("qos_overrides.")]
    return [name for name in others if not node.has_parameter(name)]


def _report_unknown(node: Any, name: str) -> None:
    for entry in PARAMETERS.values():
        if name.startswith(f"{entry.name}."):
            # What ROS makes of a list with an entry such as `- traverse.Grass: 90`, a mapping to YAML.
            raise entry.error("was given as a mapping; put each entry that has a colon in quotes")
    node.get_logger().warning(
        f"parameter '{name}' is none of this node's{did_you_mean(name, _values(node))}, so it changes nothing here"
    )
