"""The node and its companions as processes that hear each other and nobody else."""

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
_SETTLE_S = 1.0  # until discovery is done
_WAKE_S = 0.5  # how soon the end of the node is noticed


def keep_to_this_machine() -> None:
    """Let no other ROS 2 system hear what is started from here, nor be heard; make room for large images."""
    os.environ.update({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(1 + os.getpid() % 100)})
    os.environ.update(dds_environment(os.environ))


@contextmanager
def process(words: Sequence[str], output: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A Python module as a process of its own; it is told to end, and ended if it does not.

    Args:
        words: the module, and its arguments.
        output: a file for what it says.
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
    """Take the node through its lifecycle, as a launch file does.

    Args:
        started: the node.
        log: what it says.

    Raises:
        SegPerceptionError: it did not start, or does not become active.
    """
    with ros():
        node = rclpy.create_node("operator")
        client = node.create_client(ChangeState, "/perception/change_state")
        end = time.monotonic() + _READY_S
        while not client.wait_for_service(_WAKE_S):
            if started.poll() is not None or time.monotonic() > end:
                raise SegPerceptionError(f"the node did not start; {log} holds what it said.")
        time.sleep(_SETTLE_S)  # a server that has not yet found its client answers into the void
        for label in ("configure", "activate"):
            request = ChangeState.Request()
            request.transition.label = label
            future = client.call_async(request)
            rclpy.spin_until_future_complete(node, future, timeout_sec=_READY_S)
            if not (future.done() and future.result().success):
                raise SegPerceptionError(f"the node did not {label}; {log} holds what it said.")
        node.destroy_node()
