"""Starts the node and other ROS processes, isolated from all other ROS 2 systems."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.srv import ChangeState

from seg_perception.errors import SegPerceptionError
from seg_perception.ros.tools.launch_support import dds_environment
from seg_perception.ros.tools.play import ros

_STOP_S = 10.0
_READY_S = 30.0
_TRANSITION_S = 300.0  # the first configure of a machine compiles, which takes half a minute on old CPUs
_SETTLE_S = 1.0  # until discovery is done
_WAKE_S = 0.5  # longest time until the end of the node is noticed


def isolate_on_localhost() -> None:
    """Isolate the processes started from here from all other ROS 2 systems, and make room for large images."""
    os.environ.update({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(1 + os.getpid() % 100)})
    os.environ.update(dds_environment(os.environ))


@contextmanager
def process(words: Sequence[str], output: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module as a process; at the end interrupt it, and kill it if it does not stop.

    Args:
        words: the module, and its arguments.
        output: file for its stdout and stderr.
    """
    started = subprocess.Popen([sys.executable, "-m", *words], stdout=output, stderr=subprocess.STDOUT)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGINT)
        try:
            started.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def activate(started: subprocess.Popen[bytes], log: Path) -> None:
    """Configure and activate the node, as a launch file does.

    Args:
        started: the node.
        log: file with its output.

    Raises:
        SegPerceptionError: the node did not start, or did not become active.
    """
    with ros():
        node = rclpy.create_node("operator")
        client = node.create_client(ChangeState, "/perception/change_state")
        end = time.monotonic() + _READY_S
        while not client.wait_for_service(_WAKE_S):
            if started.poll() is not None or time.monotonic() > end:
                raise SegPerceptionError(f"the node did not start; see {log} for its output.")
        time.sleep(_SETTLE_S)  # a server that has not found its client yet sends its answer nowhere
        for label in ("configure", "activate"):
            request = ChangeState.Request()
            request.transition.label = label
            future = client.call_async(request)
            end = time.monotonic() + _TRANSITION_S
            while not future.done() and started.poll() is None and time.monotonic() < end:
                rclpy.spin_until_future_complete(node, future, timeout_sec=_WAKE_S)
            if not (future.done() and future.result().success):
                raise SegPerceptionError(f"the node did not {label}; see {log} for its output.")
        node.destroy_node()
