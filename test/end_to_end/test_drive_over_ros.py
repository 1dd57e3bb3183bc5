"""A drive replayed offline and the same drive played to the node over DDS give the same costmaps, cell by cell."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from support import tiny_networks as tiny

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from seg_perception.cli.__main__ import main
from seg_perception.geometry.camera import Camera
from seg_perception.recordings.result_bag.reader import read_result
from seg_perception.simulation.drive import ROBOTS, Scenario
from seg_perception.simulation.drive_bag import IMAGE, ODOMETRY, write_drive

MATRIX = """
misclassification: {default: 1, correct: 0}
traverse: {class0: 0, class1: 60, class2: 120, class3: 250, class4: 200}
standing: []
ignore: []
"""


FRAMES = 20
MOUNT = ROBOTS["pavement"].mount


def demo(setup: Setup, out: Path) -> list[str]:
    """The command that plays the drive to a node and records what it publishes."""
    script = f"""if True:
        from pathlib import Path
        from seg_perception.ros.tools.demo import DemoRequest, run_demo
        request = DemoRequest(
            drive=Path({str(setup.drive)!r}), image={IMAGE!r}, odometry={ODOMETRY!r}, out=Path({str(out)!r}),
            model=Path({str(setup.model)!r}), matrix=Path({str(setup.matrix)!r}), mount={MOUNT!r}, command="a test",
        )
        run_demo(request, print)
    """
    return [sys.executable, "-c", script]


def play_to_the_node(setup: Setup, out: Path) -> None:
    done = subprocess.run(demo(setup, out), capture_output=True, text=True, timeout=120)
    log = out / "demo.log"
    assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")


@dataclass(frozen=True)
class Setup:
    """A drive, a network and a cost matrix, in one folder."""

    folder: Path
    drive: Path
    model: Path
    matrix: Path


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = tmp_path_factory.mktemp("over_ros")
    camera = Camera.from_fields(64, 48, "plumb_bob", [50.0, 0, 31.5, 0, 50.0, 23.5, 0, 0, 1], [0.0] * 5)
    write_drive(folder / "drive", Scenario(camera, seed=3, duration=2.0, robot="pavement"))
    (folder / "matrix.yaml").write_text(MATRIX)
    return Setup(folder, folder / "drive", tiny.save(folder, tiny.network(), tiny.card()), folder / "matrix.yaml")


def test_costmaps_offline_and_over_ros_are_equal(setup: Setup, tmp_path: Path) -> None:
    words = ["replay", setup.drive, "--out", tmp_path / "offline", "--model", setup.model, "--matrix", setup.matrix]
    assert main([*map(str, words), "--poses", "odometry", "--mount", *map(str, MOUNT)]) == 0
    for attempt in range(3):  # on a busy machine images get lost, which changes the grid
        played = tmp_path / f"ros{attempt}"
        play_to_the_node(setup, played)
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


def test_a_terminated_demo_leaves_no_process_behind(setup: Setup, tmp_path: Path) -> None:
    log = tmp_path / "out" / "demo.log"
    with subprocess.Popen(
        demo(setup, tmp_path / "out"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            end = time.monotonic() + 30.0
            while not (log.exists() and "configured" in log.read_text()) and time.monotonic() < end:
                time.sleep(0.1)
            assert len(commands_with(setup.folder)) >= 2, "the demo and the node"
            process.send_signal(signal.SIGTERM)
            process.wait(20.0)
        finally:
            process.kill()
    assert commands_with(setup.folder) == commands_with(tmp_path) == []


def commands_with(path: Path) -> list[str]:
    """The running processes whose command line names the path."""
    listed = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(path) in line]


def test_a_node_that_does_not_start_is_reported_in_one_sentence(setup: Setup, tmp_path: Path) -> None:
    lost = tmp_path / "lost.onnx"
    lost.with_suffix(".yaml").write_text(setup.model.with_suffix(".yaml").read_text())
    command = demo(replace(setup, model=lost), tmp_path / "out")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    said = done.stderr.splitlines()[-1]
    assert "the node did not configure" in said and str(tmp_path / "out" / "demo.log") in said


def test_without_ros_2_the_demo_replays_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in [name for name in sys.modules if name.startswith("seg_perception.ros.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "rclpy", None)
    assert main(["demo", "--seconds", "0.5", "--out", str(tmp_path / "demo")]) == 0
    said = capsys.readouterr().out
    assert "Continuing without it: the demo replays the drive offline." in said
    assert "5 images in, 5 results out" in said and (tmp_path / "demo" / "report.html").exists()
