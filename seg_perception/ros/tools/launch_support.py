"""What the launch files share. It imports nothing of ROS, so that launch loads it quickly."""

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
    """The variables that give Fast DDS or CycloneDDS room for camera images; none that the user has set.

    Args:
        environment: of the launch process; ROS_DISTRO and RMW_IMPLEMENTATION are looked at.

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
    taken = {_FAST_DDS_OLD, _FAST_DDS_NEW, "CYCLONEDDS_URI"} & set(environment)
    return {} if taken else wanted


def given(**parameters: str) -> dict[str, str]:
    """Parameters or remappings that are not empty: an argument that nobody gave must not outrank what there is."""
    return {name: value for name, value in parameters.items() if value}


def camera_topics(camera: str, **topics: str) -> list[tuple[str, str]]:
    """Remappings of the node's topics that the camera publishes; `camera_info` is found beside the images.

    Args:
        camera: namespace of the camera, such as /camera.
        topics: name in the node → name of the topic there, or an absolute one; empty ones are left as they are.
    """
    return [
        (name, topic if topic.startswith("/") else f"{camera.rstrip('/')}/{topic}")
        for name, topic in topics.items()
        if topic
    ]


def camera_names(cameras: str) -> list[str]:
    """The names in a launch argument such as "front,left"; none in an empty one."""
    return [name for name in map(str.strip, cameras.split(",")) if name]


def several_cameras(names: Iterable[str], points: str, **topics: str) -> list[tuple[str, str]]:
    """Remappings as `camera_topics` has them, of a node with several cameras, whose namespaces are their names.

    Args:
        names: of the cameras.
        points: the point cloud for all of them; may be empty.
        topics: as for `camera_topics`.
    """
    return [
        (f"{name}/{own}", there)
        for name in names
        for own, there in [*camera_topics(f"/{name}", **topics), *given(points=points).items()]
    ]


def merged_parameters(base: Path, ours: Path) -> str:
    """A parameter file that is `base` with everything that `ours` says in its place.

    Args:
        base: nav2's own parameters.
        ours: what differs, key by key; lists are replaced as a whole.

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
    """The path of a file that comes with the package, as the default of a launch argument."""
    return str(Path(find(name)))
