"""ROS packages that a robot's installation has and others may lack."""

from __future__ import annotations

import importlib
from types import ModuleType


def optional(name: str) -> ModuleType | None:
    """The module of this name, or None where it is not installed.

    A package that is there but cannot be loaded, because its libraries belong to another ROS distribution, counts as
    not installed: everything that needs it has another way, or says in one line what it misses.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
