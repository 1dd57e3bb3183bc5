"""What a program that speaks ROS sees on this machine: asked of a process of its own.

A wrong RMW_IMPLEMENTATION, or libraries of two distributions, end a process at the import of rclpy; the doctor's must
go on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from seg_perception.doctor.cameras import CameraTopic, Heard, Publisher
from seg_perception.errors import SegPerceptionError

_MODULE = "seg_perception.ros.tools.doctor"
_TIMEOUT = 60.0  # s; it needs about six


@dataclass(frozen=True)
class Probe:
    """What was seen.

    Attributes:
        rmw: name of the RMW implementation in use.
        packages: name → why it cannot be loaded, "" for what can, None for what is not installed.
        topics: with images, as they arrive.
    """

    rmw: str
    packages: Mapping[str, str | None]
    topics: tuple[CameraTopic, ...]

    def to_json(self) -> str:
        """One line that `from_json` reads back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Probe:
        """The inverse of `to_json`."""
        content = json.loads(line)
        return cls(content["rmw"], content["packages"], tuple(_topic(topic) for topic in content["topics"]))


def probe(environ: Mapping[str, str]) -> Probe:
    """Look, from a process with this environment; takes some seconds.

    Raises:
        SegPerceptionError: rclpy cannot be loaded or started; the message is what it said last.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", _MODULE], env=dict(environ), capture_output=True, text=True, timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise SegPerceptionError(f"rclpy does not answer within {_TIMEOUT:g} s.") from None
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise SegPerceptionError(said[-1] if said else f"rclpy ended the process with exit code {done.returncode}.")
    return Probe.from_json(done.stdout.splitlines()[-1])


def _topic(content: dict[str, Any]) -> CameraTopic:
    reliably = content.pop("heard_reliably")
    return CameraTopic(
        publishers=tuple(Publisher(**publisher) for publisher in content.pop("publishers")),
        heard=Heard(**content.pop("heard")),
        heard_reliably=None if reliably is None else Heard(**reliably),
        **content,
    )
