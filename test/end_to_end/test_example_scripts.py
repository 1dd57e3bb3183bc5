from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seg_perception.costmap.nav2_encoding import OccupancyValues

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def run_example(name: str, folder: Path) -> str:
    """What an example prints when it is run in an empty folder."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_has_at_most_40_lines_and_is_described_in_the_api_reference(example: Path) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 40
    assert f"examples/{example.name}" in (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")


def test_costmap_of_image(tmp_path: Path) -> None:
    assert "lethal" in run_example("costmap_of_image.py", tmp_path)
    assert (tmp_path / "costmap.png").stat().st_size > 1000


def test_bag_to_costmaps(tmp_path: Path) -> None:
    assert "10 costmaps of 200 x 200 cells" in run_example("bag_to_costmaps.py", tmp_path)
    arrays = np.load(tmp_path / "costmaps.npz")
    assert arrays["costmaps"].shape == (10, 200, 200) and arrays["costmaps"].dtype == np.int8
    assert np.all(np.diff(arrays["stamps_ns"]) > 0)
    assert np.count_nonzero(arrays["costmaps"][-1] != OccupancyValues.UNKNOWN) > 1000


def test_own_network(tmp_path: Path) -> None:
    values = run_example("own_network.py", tmp_path).splitlines()[-1].split(":")[1].split()
    assert {int(value) for value in values} >= {-1, 2, 47}, "unknown, nearly free road, and grass at 120 of 254"


def test_risk_by_hand(tmp_path: Path) -> None:
    printed = run_example("risk_by_hand.py", tmp_path)
    assert "109.6 by hand, 109.6 by the library" in printed
    assert "2092.0 by hand, 2092.0 by the library" in printed


def test_custom_node_publishes_a_costmap_for_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed; pip install seg_perception[ros], or source it")
    from nav_msgs.msg import OccupancyGrid
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image
    from support.ros.node_process import ros_environment

    for name, value in ros_environment().items():
        monkeypatch.setenv(name, value)
    node_type = runpy.run_path(str(EXAMPLES / "custom_node.py"))["CostmapNode"]
    rclpy.init()
    node, other, executor = node_type(), rclpy.create_node("camera"), SingleThreadedExecutor()
    received: list[OccupancyGrid] = []
    try:
        images = other.create_publisher(Image, "image", 1)
        other.create_subscription(OccupancyGrid, "costmap", received.append, 1)
        executor.add_node(node)
        executor.add_node(other)
        pixels = np.full((360, 480, 3), 100, np.uint8)
        for _ in range(200):
            images.publish(Image(height=360, width=480, encoding="rgb8", step=3 * 480, data=pixels.tobytes()))
            executor.spin_once(timeout_sec=0.1)
            if received:
                break
    finally:
        executor.shutdown()
        node.destroy_node()
        other.destroy_node()
        rclpy.shutdown()
    assert received and received[0].header.frame_id == "base_link"
    assert len(received[0].data) == received[0].info.width * received[0].info.height
