"""A drive replayed offline, and the same drive played to the node over DDS: the same costmaps, cell by cell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_networks as tiny

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from seg_perception.bags.result import read_result
from seg_perception.cli import main
from seg_perception.geometry.camera import Camera
from seg_perception.sim.drive import ROBOTS, Scenario
from seg_perception.sim.drive_bag import IMAGE, ODOMETRY, write_drive

MATRIX = """
misclassification: {default: 1, correct: 0}
traverse: {class0: 0, class1: 60, class2: 120, class3: 250, class4: 200}
standing: []
ignore: []
"""


FRAMES = 20


def play_to_the_node(drive: Path, out: Path, model: Path, matrix: Path, mount: tuple[float, ...]) -> None:
    script = f"""if True:
        from pathlib import Path
        from seg_perception.ros.demo import DemoRequest, run_demo
        request = DemoRequest(
            drive=Path({str(drive)!r}), image={IMAGE!r}, odometry={ODOMETRY!r}, out=Path({str(out)!r}),
            model=Path({str(model)!r}), matrix=Path({str(matrix)!r}), mount={mount!r}, command="a test",
        )
        run_demo(request, print)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    log = out / "demo.log"
    assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")


def test_offline_and_through_ros_the_costmaps_are_the_same(tmp_path: Path) -> None:
    camera = Camera.from_fields(64, 48, "plumb_bob", [50.0, 0, 31.5, 0, 50.0, 23.5, 0, 0, 1], [0.0] * 5)
    drive = tmp_path / "drive"
    write_drive(drive, Scenario(camera, seed=3, duration=2.0, robot="pavement"))
    model = tiny.save(tmp_path, tiny.network(), tiny.card())
    matrix = tmp_path / "matrix.yaml"
    matrix.write_text(MATRIX)
    mount = ROBOTS["pavement"].mount

    offline = ["replay", str(drive), "--out", str(tmp_path / "offline"), "--model", str(model), "--matrix", str(matrix)]
    assert main([*offline, "--poses", "odometry", "--mount", *map(str, mount)]) == 0
    for attempt in range(3):  # a machine that is busy with something else loses images, and the grid remembers that
        played = tmp_path / f"ros{attempt}"
        play_to_the_node(drive, played, model, matrix, mount)
        if json.loads((played / "summary.json").read_text())["frames"]["out"] == FRAMES:
            break
    one, other = (
        {frame.stamp_ns: frame for frame in read_result(folder / "result.mcap")}
        for folder in (tmp_path / "offline", played)
    )
    assert list(other) == list(one) and len(one) == FRAMES, (played / "demo.log").read_text()
    for stamp_ns, frame in one.items():
        same = other[stamp_ns]
        np.testing.assert_array_equal(same.costmap, frame.costmap)
        np.testing.assert_array_equal(same.labels, frame.labels)
        np.testing.assert_array_equal(same.most_probable, frame.most_probable)
        np.testing.assert_array_equal(same.expected_cost, frame.expected_cost)
        assert same.origin_xy == pytest.approx(frame.origin_xy)
    assert (next(iter(one.values())).costmap >= 0).any() and len(np.unique(frame.costmap)) > 5
    offline_summary, ros_summary = (
        json.loads((folder / "summary.json").read_text()) for folder in (tmp_path / "offline", played)
    )
    assert ros_summary["hashes"]["costmaps"] == offline_summary["hashes"]["costmaps"]
    assert ros_summary["frames"] == {"in": FRAMES, "out": FRAMES, "dropped": {}}
