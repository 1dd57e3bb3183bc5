"""ROS packages that may be missing from an installation."""

from __future__ import annotations

import importlib
from types import ModuleType


def optional(name: str) -> ModuleType | None:
    """Import the module of this name; None if it is not installed.

    A package that cannot be loaded, because its libraries belong to another ROS distribution, counts as not installed.
    The caller then uses an alternative, or names the missing package in an error.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
