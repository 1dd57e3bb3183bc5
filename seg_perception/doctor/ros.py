"""Checks of ROS 2: distribution, packages and discovery."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from seg_perception.doctor.finding import Finding, note, ok, problem

PACKAGES = {
    "sensor_msgs": "camera images",
    "nav_msgs": "costmaps and odometry",
    "diagnostic_msgs": "diagnostics",
    "tf2_ros": "poses from /tf; without it they come from odometry and the parameter mount",
    "tf2_msgs": "/tf of a recording that is played",
    "map_msgs": "~/costmap_updates",
    "vision_msgs": "~/label_info as a LabelInfo; without it as a String with JSON",
    "cv_bridge": "rare image encodings",
    "nav2_msgs": "nav2 itself, where it runs next to the node",
    "launch_ros": "ros2 launch; without it start the node directly",
}
"""ROS packages that the node can use, and for what."""

_NEEDED = ("sensor_msgs", "nav_msgs", "diagnostic_msgs")
_MAX_SAFE_DOMAIN = 101  # above it the ports reach into Linux' ephemeral ones
_MAX_DOMAIN = 232
_RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")


def distro(environ: Mapping[str, str]) -> str:
    """The ROS distribution: the sourced one, or the one whose wheels are installed; empty when neither is."""
    if environ.get("ROS_DISTRO"):
        return environ["ROS_DISTRO"]
    for distribution in metadata.distributions():
        # Broken leftovers of an interrupted pip have no name.
        if wheel := re.fullmatch(r"ros-(\w+)-rclpy", distribution.metadata["Name"] or ""):
            return wheel[1]
    return ""


def rclpy_is_installed() -> bool:
    """Whether rclpy is installed. It is not imported, as a wrong environment can make it end the process."""
    return importlib.util.find_spec("rclpy") is not None


def rclpy_missing(opt: Path = Path("/opt/ros")) -> Finding:
    """The finding when rclpy is not installed, with how to install it.

    Args:
        opt: folder of installed ROS distributions.
    """
    setups = sorted(opt.glob("*/setup.bash"))
    if setups:
        return note("rclpy", "not found, although ROS 2 is installed", f"source {setups[-1]}")
    return note(
        "rclpy",
        "not found: replay and demo work, the node does not",
        "pip install 'seg_perception[ros]', or source ROS 2",
    )


def packages(found: Mapping[str, str | None]) -> list[Finding]:
    """One finding for each of PACKAGES.

    Args:
        found: name → why the package cannot be loaded; "" if it can, None if it is not installed.
    """
    findings = []
    for name, purpose in PACKAGES.items():
        why = found[name]
        if why == "":
            findings.append(ok(name, f"for {purpose}"))
            continue
        state = "not installed" if why is None else f"cannot be loaded ({why})"
        if name in _NEEDED:
            findings.append(problem(name, f"{state}; for {purpose}", f"install {name} of the ROS distribution in use"))
        else:
            findings.append(note(name, f"{state}; for {purpose}"))
    return findings


def discovery(environ: Mapping[str, str]) -> list[Finding]:
    """Check which nodes a node with this environment can discover."""
    return [_domain(environ.get("ROS_DOMAIN_ID", "")), _range(environ)]


def _domain(text: str) -> Finding:
    subject = "ROS_DOMAIN_ID"
    if not text:
        return ok(subject, "not set, so 0")
    if not text.isdecimal() or int(text) > _MAX_DOMAIN:
        return problem(subject, f"is '{text}'", f"give a whole number from 0 to {_MAX_SAFE_DOMAIN}")
    if int(text) > _MAX_SAFE_DOMAIN:
        return note(subject, f"{text}; its ports may be taken by other programs", f"use 0 to {_MAX_SAFE_DOMAIN}")
    return ok(subject, text)


def _range(environ: Mapping[str, str]) -> Finding:
    subject = "ROS_AUTOMATIC_DISCOVERY_RANGE"
    value = environ.get(subject, "")
    if value and value not in _RANGES:
        return problem(subject, f"is '{value}'", f"use one of {', '.join(_RANGES)}")
    if value == "OFF":
        return note(subject, "OFF: nodes discover only configured peers", "use LOCALHOST or SUBNET")
    if environ.get("ROS_LOCALHOST_ONLY") == "1":
        return ok("ROS_LOCALHOST_ONLY", "1: nodes discover those on this machine only")
    reach = "this machine" if value == "LOCALHOST" else "the network"
    return ok(subject, f"{value or 'not set'}: nodes discover those on {reach}")
