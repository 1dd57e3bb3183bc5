"""The demo over real DDS: player, node and recorder are own processes on this machine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seg_perception.errors import SegPerceptionError
from seg_perception.ros.tools.processes import activate, isolate_on_localhost, process

_SETTLE_S = 1.0  # until discovery is done, and until the last frames are through
_EVERY_COSTMAP = 100.0  # Hz


@dataclass(frozen=True)
class DemoRequest:
    """Options of the demo.

    Attributes:
        drive: a recording with images, camera_info and odometry.
        image, odometry: its topics.
        out: folder for result.mcap and summary.json.
        model: ONNX file, its card next to it.
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
        request: options.
        say: called with a line of progress.

    Raises:
        SegPerceptionError: one of the processes failed; its output is in `out`/demo.log.
        KeyboardInterrupt: SIGINT or SIGTERM; no process stays alive.
    """
    request.out.mkdir(parents=True, exist_ok=True)
    log = request.out / "demo.log"
    isolate_on_localhost()
    remaps = ["-r", f"image:={request.image}", "-r", f"odometry:={request.odometry}"]
    info = f"{request.image.rpartition('/')[0]}/camera_info"
    numbers = [str(float(number)) for number in request.mount]
    input_info = {"path": str(request.drive), "kind": "played over ROS 2"}
    summary = json.dumps({"input": input_info, "command": request.command})
    recorder = [
        "seg_perception.ros.tools.record", "--out", str(request.out), "--card", str(request.model.with_suffix(".yaml")),
        "--matrix", str(request.matrix), "--mount", *numbers, "--summary", summary,
        "--ros-args", *remaps, "-r", f"camera_info:={info}",
    ]  # fmt: skip
    node = [
        "seg_perception.ros.node", "--ros-args", *remaps, "-p", f"model:={request.model}",
        "-p", f"cost_matrix:={request.matrix}", "-p", "pose_source:=odometry", "-p", f"mount:=[{', '.join(numbers)}]",
        "-p", "use_sim_time:=true", "-p", f"costmap_rate:={_EVERY_COSTMAP}",
    ]  # fmt: skip
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with log.open("w", encoding="utf-8") as output, process(recorder, output), process(node, output) as started:
        say("configuring the node")
        activate(started, log)
        time.sleep(_SETTLE_S)
        # Two subscribers: the node, and the recorder, which subscribes once it has found the node's topics.
        player = [sys.executable, "-m", "seg_perception.cli", "play", str(request.drive), "--wait-for", "2"]
        if subprocess.run(player, check=False).returncode:
            raise SegPerceptionError(f"the player failed; see {log} for the output of the others.")
        time.sleep(_SETTLE_S)
    if not (request.out / "summary.json").exists():
        raise SegPerceptionError(f"the recorder failed; see {log} for its output.")
