"""Functions for the launch files. They import nothing of ROS, so that launch loads them quickly."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from seg_perception.utils.package_files import find

_FAST_DDS_OLD, _FAST_DDS_NEW = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
# Distributions whose Fast DDS (2.x) reads the old name; later ones (3.x) read the new name only.
_OLD_NAME = ("foxy", "galactic", "humble", "iron", "jazzy")


def dds_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that give Fast DDS or CycloneDDS room for camera images; none if the user has set one.

    Args:
        environment: of the launch process; uses ROS_DISTRO and RMW_IMPLEMENTATION.

    Returns:
        Variable → value, to be added to the environment of the processes.
    """
    if "cyclonedds" in environment.get("RMW_IMPLEMENTATION", ""):
        wanted = {"CYCLONEDDS_URI": str(find("config/dds/cyclonedds_large_images.xml"))}
    else:
        profile = str(find("config/dds/fastdds_large_images.xml"))
        distro = environment.get("ROS_DISTRO", "")
        wanted = {_FAST_DDS_OLD: profile} if distro in _OLD_NAME else {_FAST_DDS_NEW: profile}
        if not distro:
            wanted[_FAST_DDS_OLD] = profile
    set_by_user = {_FAST_DDS_OLD, _FAST_DDS_NEW, "CYCLONEDDS_URI"} & set(environment)
    return {} if set_by_user else wanted


def given(**parameters: str) -> dict[str, str]:
    """Parameters or remappings that are not empty: a default argument must not override a parameter file."""
    return {name: value for name, value in parameters.items() if value}


def camera_topics(camera: str, **topics: str) -> list[tuple[str, str]]:
    """Remappings of the node's topics that the camera publishes; `camera_info` is found next to the images.

    Args:
        camera: namespace of the camera, such as /camera.
        topics: name in the node → name of the topic in the camera's namespace, or an absolute name; empty for none.
    """
    return [
        (name, topic if topic.startswith("/") else f"{camera.rstrip('/')}/{topic}")
        for name, topic in topics.items()
        if topic
    ]


def camera_names(cameras: str) -> list[str]:
    """The names in a launch argument such as "front,left"; none in an empty one."""
    return [name for name in map(str.strip, cameras.split(",")) if name]


def remap_cameras(names: Iterable[str], points: str, **topics: str) -> list[tuple[str, str]]:
    """Remappings as of `camera_topics`, for a node with several cameras, whose namespaces are their names.

    Args:
        names: of the cameras.
        points: topic of the point cloud for all of them; may be empty.
        topics: see `camera_topics`.
    """
    return [
        (f"{name}/{name_in_node}", topic)
        for name in names
        for name_in_node, topic in [*camera_topics(f"/{name}", **topics), *given(points=points).items()]
    ]


def merged_parameters(base: Path, ours: Path) -> str:
    """Write a parameter file: `base` with the values of `ours`.

    Args:
        base: nav2's own parameters.
        ours: values that replace those of `base`, key by key; a list replaces a whole list.

    Returns:
        The path of a temporary file.
    """
    merged = _merge(yaml.safe_load(base.read_text()), yaml.safe_load(ours.read_text()))
    with tempfile.NamedTemporaryFile("w", prefix="nav2_", suffix=".yaml", delete=False) as file:
        yaml.safe_dump(merged, file)
    return file.name


def _merge(base: Any, ours: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(ours, dict)):
        return ours
    return {**base, **{key: _merge(base.get(key), value) for key, value in ours.items()}}


def share_file(name: str) -> str:
    """The path of a file of the package, as the default of a launch argument."""
    return str(Path(find(name)))
