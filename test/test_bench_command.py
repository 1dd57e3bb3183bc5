"""seg-perception bench from the command line to the page, with a network of a few numbers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny_networks as tiny
from rosbags.rosbag2 import Reader

from seg_perception.bags.messages import ros2_types
from seg_perception.bench import frame_part, grow_part, peers_part, ros_part
from seg_perception.bench.goals import verdicts
from seg_perception.bench.long_bag import repeat_bag
from seg_perception.bench.setup import Size
from seg_perception.cli import main
from seg_perception.geometry.camera import Camera
from seg_perception.sim.drive import Scenario
from seg_perception.sim.drive_bag import IMAGE, TF_STATIC, write_drive
from seg_perception.sim.labels import CLASS_NAMES

SMALL = Size(64, 48, 12)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    card = replace(tiny.card(classes=12), classes=CLASS_NAMES)
    model = tiny.save(folder, tiny.network(classes=12), card)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_part, "QUICK", (SMALL, Size(96, 48, 19)))
        patch.setattr(frame_part, "QUICK_ROUNDS", 4)
        patch.setattr(peers_part, "SIZES", (SMALL,))
        patch.setattr(peers_part, "QUICK_ROUNDS", 4)
        patch.setattr(ros_part, "QUICK", ((64, 48, "compressed", 20),))
        patch.setattr(ros_part, "QUICK_SECONDS", 1.0)
        for name, values in (("IMAGES", ((64, 48), (96, 48))), ("CLASSES", (12,)), ("CELLS", (100,))):
            patch.setattr(grow_part, name, (None, *values))
        patch.setattr(grow_part, "QUICK_BAG_MARKS", (4, 8))
        patch.setattr(grow_part, "SETTLED", 4)
        assert main(["bench", "--quick", "--model", str(model), "--threads", "1", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def summary(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "bench.json").read_text(encoding="utf-8"))
    return content


def test_every_part_gives_its_figures(summary: dict[str, Any]) -> None:
    frame, peers, grow = (summary["parts"][name] for name in ("frame", "peers", "grow"))
    assert [(row["width"], row["height"], row["classes"], row["cells"]) for row in frame] == [
        (64, 48, 12, 200),
        (96, 48, 19, 200),
    ]
    for row in frame:
        assert row["around"]["low"] <= row["around"]["value"] <= row["around"]["high"]
        whole = row["pipeline_ms"]
        assert 0 < whole["p50"] <= whole["p95"] <= whole["p99"]
        assert list(row["stages_ms"]) == ["resize", "ground", "network", "risk", "fuse", "costmap"]
        assert row["stages_ms"]["network"] == row["network_ms"]["p50"]
    assert {row["key"] for row in peers} >= {"nav2_tutorial", "pixel_projection"}
    assert [row["name"] for row in grow["image"]] == ["64×48", "96×48"]
    assert all(0 < row["start_mb"] < row["peak_mb"] for what in ("image", "classes", "cells") for row in grow[what])
    assert [row["x"] for row in grow["bag"]] == [4, 8]
    growth = (grow["bag"][1]["rss_mb"] - grow["bag"][0]["rss_mb"]) / 4 * 108_000
    assert grow["bag"][1]["mb_per_hour"] == pytest.approx(growth, abs=0.1)


def test_images_go_through_the_node_and_what_that_takes_is_told(summary: dict[str, Any]) -> None:
    if find_spec("rclpy") is None:
        assert summary["parts"]["ros"] == []
        pytest.skip("ROS 2 is not installed: pip install '.[ros]'")
    (row,) = summary["parts"]["ros"]
    assert (row["width"], row["height"], row["transport"], row["rate"], row["images"]) == (64, 48, "compressed", 20, 20)
    assert 0 < row["received"] <= 1 and row["cores"] > 0 and row["rss_mb"] > 0
    latency, stages = row["latency_ms"], row["stages_ms"]
    assert stages["network and risk"] >= 10 and latency["p50"] >= 10, "something stands in for the network"
    assert latency["p50"] <= latency["p95"] <= latency["p99"]


@pytest.mark.parametrize(
    ("received", "p95", "met"), [(1.0, 39.0, [True, True]), (0.99, 41.0, [False, False]), (0.0, None, [False, False])]
)
def test_goals_of_cameras_are_held_against_what_was_lost_and_how_long_it_took(
    received: float, p95: float | None, met: list[bool]
) -> None:
    case = {"width": 1280, "height": 720, "transport": "raw", "rate": 30, "received": received}
    row = {**case, "latency_ms": None if p95 is None else {"p95": p95}}
    assert [verdict.met for verdict in verdicts({"ros": [row, {**row, "rate": 60}]})] == met
    assert all("1280×720 raw at 30 Hz" in verdict.line() for verdict in verdicts({"ros": [row]}))


def test_peers_and_pipeline_say_the_same_where_they_are_asked_the_same(summary: dict[str, Any]) -> None:
    for row in summary["parts"]["peers"]:
        agreement = row["agreement"]
        for name in {"labels", "confidence", "expected_cost"} & set(agreement):
            assert agreement[name] >= 0.999, (row["peer"], name)


def test_the_page_works_in_a_browser(chromium: Any, out: Path, summary: dict[str, Any]) -> None:
    chromium.get((out / "bench.html").as_uri())
    assert chromium.get_log("browser") == []
    shown = chromium.find_element("tag name", "body").text
    assert "tiny, 64×48, 12 classes" in shown
    for row in summary["parts"]["peers"]:
        assert row["peer"] in shown
    assert len(chromium.find_elements("css selector", "#frames .stack")) == 2
    assert len(chromium.find_elements("css selector", "#growth svg")) == 8
    assert len(chromium.find_elements("css selector", "#cameras tbody tr")) == len(summary["parts"]["ros"])
    assert len(chromium.find_elements("css selector", "#goals tbody tr")) == len(summary["goals"]) > 0


def test_a_part_alone_makes_a_page_of_that_part(chromium: Any, out: Path, tmp_path: Path) -> None:
    from seg_perception.report.bench_page import write_bench_page

    summary = json.loads((out / "bench.json").read_text(encoding="utf-8"))
    only = {**summary, "goals": [], "parts": {"frame": summary["parts"]["frame"]}}
    write_bench_page(only, tmp_path / "bench.html")
    chromium.get((tmp_path / "bench.html").as_uri())
    assert chromium.get_log("browser") == []
    shown = chromium.find_element("tag name", "body").text
    assert "A frame against its network" in shown and "Do they say the same?" not in shown
    assert "As things grow" not in shown


def test_a_part_that_is_none_is_told_with_those_there_are(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "peer", "--out", str(tmp_path)]) == 2
    assert (
        "bench peer: is no part of the bench; name one or more of frame, peers, ros, grow." in capsys.readouterr().err
    )


def test_a_repeated_drive_goes_on_in_time_and_says_once_where_the_camera_is(tmp_path: Path) -> None:
    focal = 32 / math.tan(math.radians(31))
    camera = Camera.from_fields(64, 48, "plumb_bob", [focal, 0, 31.5, 0, focal, 23.5, 0, 0, 1], ())
    write_drive(tmp_path / "once", Scenario(camera, duration=0.2))
    repeat_bag(tmp_path / "once", tmp_path / "thrice", 3, 200_000_000)
    stamps: dict[str, list[int]] = {}
    with Reader(tmp_path / "thrice") as reader:
        for connection, _, data in reader.messages():
            message: Any = ros2_types().deserialize_cdr(data, connection.msgtype)
            stamp = getattr(message, "transforms", [message])[0].header.stamp
            stamps.setdefault(connection.topic, []).append(stamp.sec * 10**9 + stamp.nanosec)
    first = stamps[IMAGE][0]
    assert [stamp - first for stamp in stamps[IMAGE]] == [number * 100_000_000 for number in range(6)]
    assert len(stamps[TF_STATIC]) == 1
