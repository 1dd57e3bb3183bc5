"""Ground truth from bags: occupancy grids and labelled point clouds, on the cells of a costmap."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seg_perception.cli.__main__ import main
from seg_perception.errors import PointCloudError
from seg_perception.evaluation.costmap.ground_truth import (
    ground_truth_from_costmap,
    ground_truth_from_points,
    labelled_points,
)
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.transforms import Transform
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.simulation.drive import Scenario
from seg_perception.simulation.drive_bag import write_drive

BOUNDS = GridBounds(first_row=-10, first_col=5, rows=20, cols=30, resolution=0.1)
MATRIX = """
misclassification: {default: 1, correct: 0}
traverse: {Road: 0, Grass: 120, Box: 1000, Sky: 0}
standing: [Box]
ignore: [Sky]
"""


@pytest.fixture
def matrix(tmp_path: Path) -> CostMatrix:
    path = tmp_path / "matrix.yaml"
    path.write_text(MATRIX, encoding="utf-8")
    return CostMatrix.load(path, ("Road", "Grass", "Box", "Sky"))


def _grid(values: np.ndarray, x: float, y: float, yaw: float, resolution: float) -> Any:
    orientation = SimpleNamespace(x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2))
    origin = SimpleNamespace(position=SimpleNamespace(x=x, y=y, z=0.0), orientation=orientation)
    info = SimpleNamespace(resolution=resolution, width=values.shape[1], height=values.shape[0], origin=origin)
    return SimpleNamespace(info=info, data=values.ravel())


@pytest.mark.parametrize("yaw", [0.0, 0.5, -2.0])
def test_a_costmap_of_any_origin_and_orientation_is_sampled(yaw: float) -> None:
    rng = np.random.default_rng(1)
    values = rng.choice(np.array([-1, 0, 50, 100], np.int8), (25, 40))
    odom_from_map = Transform.from_xyz_rpy(1.0, -0.5, 0.0, 0.0, 0.0, 0.3)
    ground_truth = ground_truth_from_costmap(_grid(values, -1.0, -0.7, yaw, 0.17), odom_from_map, BOUNDS)
    where = odom_from_map @ Transform.from_xyz_rpy(-1.0, -0.7, 0.0, 0.0, 0.0, yaw)
    for row in range(BOUNDS.rows):
        for col in range(BOUNDS.cols):
            centre = np.array([(5 + col + 0.5) * 0.1, (-10 + row + 0.5) * 0.1, 0.0])
            u, v, _ = where.inverse().apply(centre) / 0.17
            inside = 0 <= u < 40 and 0 <= v < 25
            value = int(values[int(v), int(u)]) if inside else -1
            assert ground_truth.known[row, col] == (value >= 0)
            assert ground_truth.obstacle[row, col] == (value == 100)
            if value >= 0:
                assert ground_truth.costs[row, col] == {0: 0.0, 50: 127.0, 100: 254.0}[value]


@pytest.mark.parametrize("big", [False, True])
def test_points_are_read_from_any_layout_of_fields(big: bool) -> None:
    order = ">" if big else "<"
    names, formats, offsets = ["label", "z", "x", "y"], ["u2", "f4", "f8", "f4"], [0, 4, 8, 20]
    layout = np.dtype({"names": names, "formats": [order + f for f in formats], "offsets": offsets, "itemsize": 26})
    points = np.zeros(6, layout)
    points["x"], points["y"], points["z"] = np.arange(6), -np.arange(6), 0.5
    points["label"] = [0, 1, 2, 3, 2, 1]
    points["y"][4] = np.nan
    kinds = {"u2": 4, "f4": 7, "f8": 8}
    fields = [
        SimpleNamespace(name=name, datatype=kinds[form], offset=offset, count=1)
        for name, form, offset in zip(names, formats, offsets, strict=True)
    ]
    # Two rows of three points, each row padded to 80 bytes.
    data = np.zeros((2, 80), np.uint8)
    data[:, :78] = points.view(np.uint8).reshape(2, 78)
    cloud = SimpleNamespace(
        fields=fields, is_bigendian=big, point_step=26, row_step=80, height=2, width=3, data=data.ravel()
    )
    xyz, labels = labelled_points(cloud)
    assert xyz[:, 0].tolist() == [0, 1, 2, 3, 5] and labels.tolist() == [0, 1, 2, 3, 1]
    cloud.fields = fields[1:]
    with pytest.raises(PointCloudError, match=r"has no field label \(its fields: z, x, y\); publish x, y, z and label"):
        labelled_points(cloud)


def test_the_cost_of_a_cell_is_the_highest_cost_of_its_points(matrix: CostMatrix) -> None:
    at = [1.05, 0.05]
    points = np.array(
        [[*at, 0.0], [*at, 0.3], [2.05, 0.05, 2.5], [2.05, 0.05, 0.0], [3.05, 0.05, 0.1], [0.95, 0.05, 0], [9, 9, 0]]
    )
    labels = np.array([0, 2, 2, 1, 3, 200, 0])
    ground_truth = ground_truth_from_points(points, labels, 0.0, BOUNDS, matrix)
    assert ground_truth.costs[10, 5] == 1000.0 and ground_truth.obstacle[10, 5], "a box on the road"
    assert ground_truth.costs[10, 15] == 120.0 and not ground_truth.obstacle[10, 15], (
        "points above the robot are no obstacle"
    )
    assert np.count_nonzero(ground_truth.known) == 2, "sky and unknown labels are skipped"


@pytest.mark.slow
def test_a_recording_has_no_errors_against_its_own_costmaps(tmp_path: Path, capsys: Any) -> None:
    k = [400.0, 0, 239.5, 0, 400.0, 179.5, 0, 0, 1]
    camera = Camera.from_fields(480, 360, "plumb_bob", k, [])
    write_drive(tmp_path / "drive", Scenario(camera, seed=3, duration=1.5, fps=3.0))
    drive, result = str(tmp_path / "drive"), tmp_path / "result"
    assert main(["replay", drive, "--out", str(result)]) == 0
    words = ["evaluate", "costmap", "--recording", drive, "--out", str(tmp_path / "evaluated")]
    ground_truth = ["--truth", str(result / "result.mcap"), "--truth-topic", "/perception/costmap"]
    assert main([*words, *ground_truth, "--max-age", "0.01"]) == 0
    summary = json.loads((tmp_path / "evaluated" / "costmap.json").read_text(encoding="utf-8"))["drives"]["drive"]
    assert summary["costmaps"] in (4, 5)
    assert summary["all"]["lethal_recall"] == 1.0 and summary["all"]["lethal_precision"] == 1.0
    assert summary["all"]["false_free"] == summary["all"]["unknown"] == summary["all"]["cost_error"] == 0.0
    assert summary["regret_m"] in ([0.0, 0.0, 0.0], [None, None, None])
    assert "| drive | " in capsys.readouterr().out

    assert main([*words, "--truth-topic", "/odom"]) == 2
    assert "/odom holds nav_msgs/msg/Odometry (topics with costmaps or point clouds: none)" in capsys.readouterr().err
    assert main(words) == 2
    assert "--recording and --truth-topic belong together" in capsys.readouterr().err


def test_conditions_that_do_not_exist_are_refused(capsys: Any) -> None:
    assert main(["evaluate", "costmap", "--conditions", "snow"]) == 2
    assert "--conditions snow: is not known; choose from day, dusk" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "plan.yaml"])
    assert "choose from" in capsys.readouterr().err
