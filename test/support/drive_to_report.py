"""A short synthetic drive with known pixels, for the tests of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.result_bag.messages import FrameNames
from seg_perception.recordings.result_bag.reader import LabelInfo, ResultFrame
from seg_perception.recordings.result_bag.writer import ResultWriter

WIDTH, HEIGHT, FRAMES = 64, 48, 6
MOST_DIFFERENT = 4
INFO = LabelInfo(
    ("Road", "<b>Car</b>", "Grass"),
    np.array([[128, 64, 128], [64, 0, 128], [90, 170, 60]], np.uint8),
    (0.0, 2540.0, 60.0),
)
HOSTILE = "</script><script>window.fooled = 1</script><img src=x onerror='window.fooled = 2'>"
SUMMARY: dict[str, Any] = {
    "frames": {"in": FRAMES + 2, "out": FRAMES, "dropped": {"no pose at the image's stamp": 2}},
    "input": {"path": f"drives/{HOSTILE}", "kind": "rosbag2 (mcap)"},
    "command": "seg-perception replay drive.mcap --out out",
    "stages": {
        "network": {"p50": 15.0, "p95": 18.0, "p99": float("nan")},
        "grid": {"p50": 2.0, "p95": 2.5, "p99": 3.0},
    },
    "cells": {"known_share": 0.25},
    "versions": {"seg_perception": "0.1.0"},
    "hashes": {"model": "9f2c" * 16},
}


def make_frame(index: int) -> ResultFrame:
    """A frame whose images depend on its index; the robot turns left, an obstacle is 3 m ahead and 1 m to its left."""
    rng = np.random.default_rng(index)
    probable = rng.integers(0, 3, (HEIGHT, WIDTH), dtype=np.uint8)
    probable[:, : WIDTH // 2] = index % 3
    labels = probable.copy()
    labels[-(1 + 3 * (index == MOST_DIFFERENT)) :] = 1
    labels[0] = probable[0] = 255
    pose = Transform.from_xyz_rpy(0.5 * index, 1.0, 0.0, 0.0, 0.0, 0.3 * index)
    costmap = np.full((80, 80), -1, np.int8)
    origin = (0.5 * index - 10.0, -9.0)
    x, y, _ = pose.apply(np.array([3.0, 1.0, 0.0]))
    row, column = int((y - origin[1]) / 0.25), int((x - origin[0]) / 0.25)
    costmap[row - 3 : row + 4, column - 3 : column + 4] = 100
    return ResultFrame(
        stamp_ns=1_700_000_000_000_000_000 + index * 100_000_000,
        camera_jpeg=cv2.imencode(".jpg", np.full((HEIGHT, WIDTH, 3), 40 * index, np.uint8))[1].tobytes(),
        overlay_jpeg=b"",
        labels=labels,
        most_probable=probable,
        confidence=np.full((HEIGHT, WIDTH), 100 + index, np.uint8),
        expected_cost=rng.integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8),
        costmap=costmap,
        resolution=0.25,
        origin_xy=origin,
        odom_from_base=pose,
        latency_ms={"network": 15.0 + index, "grid": 2.0},
    )


def write_drive(folder: Path) -> Path:
    """The drive's result.mcap in `folder`."""
    camera = Camera(WIDTH, HEIGHT, "plumb_bob", np.array([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]]), (0.0,) * 5)
    with ResultWriter.create(folder / "result.mcap", INFO, FrameNames("odom", "base_link", "camera")) as writer:
        for index in range(FRAMES):
            writer.write(make_frame(index), camera, Transform.identity())
    return folder / "result.mcap"
