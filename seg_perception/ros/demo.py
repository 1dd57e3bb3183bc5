"""The demo over real DDS: player, node and recorder as processes of their own, on this machine only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.srv import ChangeState

from seg_perception.errors import SegPerceptionError
from seg_perception.ros.launch_support import dds_environment
from seg_perception.ros.play import ros

_STOP_S = 10.0
_READY_S = 30.0
_SETTLE_S = 1.0  # until discovery is done, and until the last frames are through
_WAKE_S = 0.5  # how soon the end of the node is noticed
_EVERY_COSTMAP = 100.0  # Hz


@dataclass(frozen=True)
class DemoRequest:
    """What to show.

    Attributes:
        drive: a recording with images, camera_info and odometry.
        image, odometry: its topics.
        out: folder for result.mcap and summary.json.
        model: ONNX file, its card beside it.
        matrix: cost matrix YAML.
        mount: x, y, z, roll, pitch, yaw of the camera body in base_link, m and rad.
        command: the command line, for the report.
    """

    drive: Path
    image: str
    odometry: str
    out: Path
    model: Path
    matrix: Path
    mount: tuple[float, ...]
    command: str


def run_demo(request: DemoRequest, say: Callable[[str], None]) -> None:
    """Play the drive to the node and record what it publishes.

    Args:
        request: what to show.
        say: told what is going on, a line each.

    Raises:
        SegPerceptionError: one of the processes failed; what it said is in `out`/demo.log.
        KeyboardInterrupt: interrupted, or told to end by SIGTERM; no process is left behind.
    """
    request.out.mkdir(parents=True, exist_ok=True)
    log = request.out / "demo.log"
    # No other ROS 2 system is to hear this one, nor to be heard.
    os.environ.update({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(1 + os.getpid() % 100)})
    os.environ.update(dds_environment(os.environ))
    remaps = ["-r", f"image:={request.image}", "-r", f"odometry:={request.odometry}"]
    info = f"{request.image.rpartition('/')[0]}/camera_info"
    numbers = [str(float(number)) for number in request.mount]
    described = {"path": str(request.drive), "kind": "played over ROS 2"}
    summary = json.dumps({"input": described, "command": request.command})
    recorder = [
        "seg_perception.ros.record", "--out", str(request.out), "--card", str(request.model.with_suffix(".yaml")),
        "--matrix", str(request.matrix), "--mount", *numbers, "--summary", summary,
        "--ros-args", *remaps, "-r", f"camera_info:={info}",
    ]  # fmt: skip
    node = [
        "seg_perception.ros.node", "--ros-args", *remaps, "-p", f"model:={request.model}",
        "-p", f"cost_matrix:={request.matrix}", "-p", "pose_source:=odometry", "-p", f"mount:=[{', '.join(numbers)}]",
        "-p", "use_sim_time:=true", "-p", f"costmap_rate:={_EVERY_COSTMAP}",
    ]  # fmt: skip
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with log.open("w", encoding="utf-8") as output, _process(recorder, output), _process(node, output) as started:
        say("the node configures itself")
        _activate(started, log)
        time.sleep(_SETTLE_S)
        # The node, and the recorder, which asks for images once it hears the node.
        player = [sys.executable, "-m", "seg_perception.cli", "play", str(request.drive), "--wait-for", "2"]
        if subprocess.run(player, check=False).returncode:
            raise SegPerceptionError(f"the player failed; {log} holds what the others said.")
        time.sleep(_SETTLE_S)
    if not (request.out / "summary.json").exists():
        raise SegPerceptionError(f"the recorder failed; {log} holds what it said.")


@contextmanager
def _process(words: Sequence[str], output: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", *words], stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _activate(process: subprocess.Popen[bytes], log: Path) -> None:
    """Take the node through its lifecycle, as a launch file does."""
    with ros():
        node = rclpy.create_node("operator")
        client = node.create_client(ChangeState, "/perception/change_state")
        end = time.monotonic() + _READY_S
        while not client.wait_for_service(_WAKE_S):
            if process.poll() is not None or time.monotonic() > end:
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
