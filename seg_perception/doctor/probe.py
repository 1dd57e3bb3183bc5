"""A probe of ROS on this machine, in a process of its own.

A wrong RMW_IMPLEMENTATION or mixed distributions can end a process at the import of rclpy. The doctor
itself must survive that.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from seg_perception.doctor.cameras import CameraTopic, Publisher, ReceptionStatistics
from seg_perception.errors import SegPerceptionError

_MODULE = "seg_perception.ros.tools.doctor"
_TIMEOUT = 60.0  # s; it needs about six


@dataclass(frozen=True)
class RosProbe:
    """What the probe found.

    Attributes:
        rmw: name of the RMW implementation in use.
        packages: name → why it cannot be loaded, "" for what can, None for what is not installed.
        topics: the image topics, with their reception.
    """

    rmw: str
    packages: Mapping[str, str | None]
    topics: tuple[CameraTopic, ...]

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> RosProbe:
        """The inverse of `to_json`."""
        content = json.loads(line)
        return cls(content["rmw"], content["packages"], tuple(_topic(topic) for topic in content["topics"]))


def run_probe(environ: Mapping[str, str]) -> RosProbe:
    """Run the probe in a process with this environment; takes some seconds.

    Raises:
        SegPerceptionError: rclpy cannot be loaded or started; the message is its last line on stderr.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", _MODULE], env=dict(environ), capture_output=True, text=True, timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise SegPerceptionError(f"rclpy does not answer within {_TIMEOUT:g} s.") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise SegPerceptionError(lines[-1] if lines else f"rclpy ended the process with exit code {done.returncode}.")
    return RosProbe.from_json(done.stdout.splitlines()[-1])


def _topic(content: dict[str, Any]) -> CameraTopic:
    reliable = content.pop("reliable_reception")
    return CameraTopic(
        publishers=tuple(Publisher(**publisher) for publisher in content.pop("publishers")),
        reception=ReceptionStatistics(**content.pop("reception")),
        reliable_reception=None if reliable is None else ReceptionStatistics(**reliable),
        **content,
    )
