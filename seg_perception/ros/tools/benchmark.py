"""Measures the latency from camera message to costmap message over real DDS. Node and camera are own processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seg_perception.errors import SegPerceptionError
from seg_perception.ros.tools.processes import activate, isolate_on_localhost, process

_EVERY_COSTMAP = 100.0  # Hz


def measure(
    cases: Sequence[Mapping[str, Any]],
    model: Path,
    matrix: Path,
    mount: Sequence[float],
    network_s: float,
    folder: Path,
) -> list[dict[str, Any]]:
    """Publish images to the node and measure its latencies.

    Args:
        cases: see `benchmark_camera.BenchmarkCamera.show`; also "transport", raw or compressed, the same for all.
        model: ONNX file, its card next to it.
        matrix: cost matrix YAML.
        mount: x, y, z, roll, pitch, yaw of the camera body in base_link, m and rad.
        network_s: duration of a run of the fake network, s.
        folder: for the logs of the processes.

    Returns:
        What `BenchmarkCamera.show` returns for each case.

    Raises:
        SegPerceptionError: one of the processes failed.
    """
    before = dict(os.environ)
    isolate_on_localhost()
    transport = cases[0]["transport"]
    log, listed = folder / f"node_{transport}.log", folder / f"cases_{transport}.json"
    listed.write_text(json.dumps(list(cases)), encoding="utf-8")
    node = [
        "seg_perception.benchmark.ros_node", str(network_s), "--ros-args", "-p", f"model:={model}",
        "-p", f"cost_matrix:={matrix}", "-p", "pose_source:=odometry", "-p", "backend:=onnx_cpu", "-p", "threads:=1",
        "-p", f"mount:=[{', '.join(str(float(number)) for number in mount)}]", "-p", f"image_transport:={transport}",
        "-p", f"costmap_rate:={_EVERY_COSTMAP}",
    ]  # fmt: skip
    try:
        with log.open("w", encoding="utf-8") as output, process(node, output) as started:
            activate(started, log)
            camera = [sys.executable, "-m", "seg_perception.ros.tools.benchmark_camera", str(listed), str(started.pid)]
            shown = subprocess.run(camera, check=False, capture_output=True, text=True)
        if shown.returncode:
            lines = (shown.stderr or log.read_text(encoding="utf-8")).strip().splitlines()
            raise SegPerceptionError(f"bench speed ros: the camera failed ({lines[-1] if lines else 'no output'}).")
    finally:
        os.environ.clear()
        os.environ.update(before)
    rows: list[dict[str, Any]] = json.loads(shown.stdout)
    return rows
