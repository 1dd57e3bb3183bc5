"""The node's parameters in rclpy: declared from the table, read back as settings, changed together or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.parameter import Parameter

from seg_perception.errors import ConfigError, SegPerceptionError
from seg_perception.ros.parameters.node_settings import NodeSettings, camera_names, settings_of
from seg_perception.ros.parameters.table import PARAMETERS, Kind, NodeParameter, Value, camera_parameters
from seg_perception.settings.yaml_file import did_you_mean

_TYPES: dict[Kind, Any] = {
    "string": Parameter.Type.STRING,
    "integer": Parameter.Type.INTEGER,
    "double": Parameter.Type.DOUBLE,
    "string array": Parameter.Type.STRING_ARRAY,
    "double array": Parameter.Type.DOUBLE_ARRAY,
}


def declare(node: Any) -> None:
    """Declare every parameter of the table, with the values that the node was started with.

    A parameter that the node was given but does not have is named in a warning: it may be a misspelt one. It is no
    error, because a file may hold parameters for several nodes.

    Args:
        node: any node.

    Raises:
        ConfigError: a value it was started with has the wrong type or is out of range. What several values say
            together is checked by `current`.
    """
    for entry in PARAMETERS.values():
        _declare(node, entry)
    for entry in camera_parameters(camera_names(node.get_parameter("cameras").value)).values():
        _declare(node, entry)
    for name in _unknown(node):
        _complain(node, name)


def current(node: Any) -> NodeSettings:
    """What the parameters say now.

    Raises:
        ConfigError: their values do not go together.
        SegPerceptionError: a shipped file is asked for and is not there.
    """
    return settings_of(_values(node))


def on_change(node: Any, validate: Callable[[NodeSettings], None], apply: Callable[[NodeSettings], None]) -> None:
    """Take changes while running: all that come together are checked together, and none is kept if one is wrong.

    Args:
        node: one whose parameters are declared.
        validate: raises SegPerceptionError, whose sentence becomes the reason of the refusal, for settings that are
            right by themselves but cannot be used.
        apply: called with the new settings once they stand; must not raise.
    """
    has_post_callback = hasattr(node, "add_post_set_parameters_callback")  # not on Humble

    def check(changes: list[Any]) -> Any:
        given = {change.name: change.value for change in changes if change.name in PARAMETERS}
        if given:
            try:
                settings = settings_of({**_values(node), **given})
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
    # Declared without a type first, to see what was given: rclpy's own complaint about a wrong type is a traceback, and
    # it has no type at all for `[]`.
    given = node.declare_parameter(entry.name, None, ParameterDescriptor(dynamic_typing=True)).value
    node.undeclare_parameter(entry.name)
    value = entry.default if given is None else entry.checked(given)
    if value == ():
        # Nor can it declare an empty array, but it can set one.
        node.declare_parameter(entry.name, _TYPES[entry.kind], ignore_override=True)
        node.set_parameters([_typed(entry, value)])
        node.set_descriptor(entry.name, _descriptor(entry))
    else:
        node.declare_parameter(entry.name, value, _descriptor(entry), ignore_override=True)


def _descriptor(entry: NodeParameter) -> Any:
    descriptor = ParameterDescriptor(
        name=entry.name,
        type=_TYPES[entry.kind].value,
        description=entry.description,
        additional_constraints=f"one of {', '.join(entry.choices)}" if entry.choices else "",
        read_only=entry.read_only,
    )
    if entry.kind == "integer":
        descriptor.integer_range = [IntegerRange(from_value=int(entry.low), to_value=int(entry.high), step=1)]
    elif entry.kind == "double":
        descriptor.floating_point_range = [FloatingPointRange(from_value=entry.low, to_value=entry.high)]
    return descriptor


def _values(node: Any) -> dict[str, Any]:
    names = [*PARAMETERS, *camera_parameters(camera_names(node.get_parameter("cameras").value))]
    return {name: node.get_parameter(name).value for name in names}


def _typed(entry: NodeParameter, value: Value) -> Any:
    return Parameter(entry.name, _TYPES[entry.kind], value)


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
        return change  # to be refused with a reason by what comes next


def _unknown(node: Any) -> list[str]:
    # rclpy has no public way to ask; without it there is no warning.
    given = getattr(node, "_parameter_overrides", {})
    return [name for name in given if not node.has_parameter(name) and not name.startswith("qos_overrides.")]


def _complain(node: Any, name: str) -> None:
    for entry in PARAMETERS.values():
        if name.startswith(f"{entry.name}."):
            # What ROS makes of a list with an entry such as `- traverse.Grass: 90`, a mapping to YAML.
            raise entry.error("was given as a mapping; put each entry that has a colon in quotes")
    node.get_logger().warning(
        f"parameter '{name}' is none of this node's{did_you_mean(name, _values(node))}, so it changes nothing here"
    )
