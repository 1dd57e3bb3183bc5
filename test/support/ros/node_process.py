"""The node as its own process, over real DDS on the loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

# Domains 0..101 are safe on Linux (their ports are below the ephemeral ones). Each test process takes its own.
_DOMAIN = 20 + os.getpid() % 80


def isolate() -> int:
    """Keep this process's DDS traffic on the loopback and in its own domain; call it before rclpy is initialised."""
    os.environ.update(ros_environment())
    return _DOMAIN


def ros_environment() -> dict[str, str]:
    """Environment variables of every process that communicates with the tests."""
    return {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(_DOMAIN)}


class NodeProcess:
    """A Python module as its own ROS process; interrupted at the end, and killed if it does not stop."""

    def __init__(
        self,
        log: Path,
        module: str = "seg_perception.ros.node",
        parameters: Mapping[str, Any] | None = None,
        remaps: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it; its output goes to `log`."""
        self.log = log
        command = [sys.executable, "-m", module, *arguments]
        if parameters or remaps:
            command.append("--ros-args")
        for name, value in (parameters or {}).items():
            command += ["-p", f"{name}:={value}"]
        for old, new in (remaps or {}).items():
            command += ["-r", f"{old}:={new}"]
        with log.open("w") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ros_environment(), "PYTHONUNBUFFERED": "1", **(environment or {})},
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """Its output so far."""
        return self.log.read_text()

    @property
    def returncode(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float = 10.0) -> int:
        """Wait until it ends by itself; returns the exit code."""
        return self._process.wait(timeout)

    def interrupt(self, timeout: float = 10.0) -> int:
        """Send SIGINT and wait for the end; returns the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout)

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            try:
                self.interrupt()
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
