"""Stubs of the launch API, as far as our launch files use it; each stub stores its arguments."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar


class Context:
    """Values of the launch arguments."""

    def __init__(self, arguments: dict[str, str]) -> None:
        self.arguments = arguments


class LaunchStub:
    """Base class of the stubs; stores the arguments of the constructor."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        self.positional = positional
        self.named = named


class LaunchDescription(LaunchStub):
    @property
    def entities(self) -> list[Any]:
        return list(self.positional[0])


class DeclareLaunchArgument(LaunchStub):
    @property
    def name(self) -> str:
        return str(self.positional[0])


class OpaqueFunction(LaunchStub):
    def execute(self, context: Context) -> list[Any]:
        return list(self.named["function"](context))


class LaunchConfiguration(LaunchStub):
    used: ClassVar[list[str]] = []

    def perform(self, context: Context) -> str:
        self.used.append(self.positional[0])
        return context.arguments[self.positional[0]]


class Node(LaunchStub):
    pass


class LifecycleNode(Node):
    pass


class EmitEvent(LaunchStub):
    pass


class ChangeState(LaunchStub):
    pass


class IfCondition(LaunchStub):
    pass


class RegisterEventHandler(LaunchStub):
    pass


class OnStateTransition(LaunchStub):
    pass


class LogInfo(LaunchStub):
    pass


class IncludeLaunchDescription(LaunchStub):
    pass


class PythonLaunchDescriptionSource(LaunchStub):
    pass


class Transition:
    TRANSITION_CONFIGURE = 1
    TRANSITION_ACTIVATE = 3


class PackageNotFoundError(Exception):
    pass


@contextmanager
def installed_stubs(packages: dict[str, Path] | None = None) -> Iterator[None]:
    """Let `import launch` and similar imports find the stubs, whatever is installed.

    Args:
        packages: package → share directory, for get_package_share_directory.
    """

    def get_package_share_directory(name: str) -> str:
        if name not in (packages or {}):
            raise PackageNotFoundError(name)
        return str((packages or {})[name])

    def matches_action(action: Any) -> Any:
        return action

    contents: dict[str, list[Any]] = {
        "launch": [LaunchDescription],
        "launch.actions": [
            DeclareLaunchArgument, EmitEvent, IncludeLaunchDescription, LogInfo, OpaqueFunction, RegisterEventHandler,
        ],
        "launch.conditions": [IfCondition],
        "launch.events": [matches_action],
        "launch.launch_description_sources": [PythonLaunchDescriptionSource],
        "launch.substitutions": [LaunchConfiguration],
        "launch_ros": [],
        "launch_ros.actions": [LifecycleNode, Node],
        "launch_ros.event_handlers": [OnStateTransition],
        "launch_ros.events": [],
        "launch_ros.events.lifecycle": [ChangeState],
        "lifecycle_msgs": [],
        "lifecycle_msgs.msg": [Transition],
        "ament_index_python": [],
        "ament_index_python.packages": [PackageNotFoundError, get_package_share_directory],
    }  # fmt: skip
    before = {name: sys.modules.get(name) for name in contents}
    for name, members in contents.items():
        module = ModuleType(name)
        for member in members:
            setattr(module, member.__name__, member)
        sys.modules[name] = module
    LaunchConfiguration.used.clear()
    try:
        yield
    finally:
        for name, module_before in before.items():
            if module_before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module_before
