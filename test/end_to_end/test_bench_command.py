"""seg-perception bench speed from the command line to the page, with a tiny network."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from rosbags.rosbag2 import Reader
from support import fake_gpu
from support import tiny_networks as tiny

from seg_perception.benchmark.long_recording import repeat_recording
from seg_perception.benchmark.parts import baselines, gpu, grid, latency, ros, scaling, soak
from seg_perception.benchmark.setup import NetworkSize
from seg_perception.benchmark.targets import check_targets
from seg_perception.cli.__main__ import main
from seg_perception.geometry.camera import Camera
from seg_perception.recordings.rosbags_types import ros2_types
from seg_perception.simulation.drive import Scenario
from seg_perception.simulation.drive_bag import IMAGE, TF_STATIC, write_drive
from seg_perception.simulation.labels import CLASS_NAMES

SMALL = NetworkSize(64, 48, 12)


def save_tiny(folder: Path) -> Path:
    return tiny.save(folder, tiny.network(classes=12), replace(tiny.card(classes=12), classes=CLASS_NAMES))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    model = save_tiny(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "QUICK", (SMALL, NetworkSize(96, 48, 19)))
        patch.setattr(latency, "QUICK_ROUNDS", 4)
        patch.setattr(baselines, "SIZES", (SMALL,))
        patch.setattr(baselines, "QUICK_ROUNDS", 4)
        patch.setenv("SEG_PERCEPTION_CACHE", str(folder / "cache"))
        patch.setattr(gpu, "LARGE", NetworkSize(96, 48, 19))
        patch.setattr(ros, "QUICK", ((64, 48, "compressed", 20),))
        patch.setattr(ros, "QUICK_SECONDS", 1.0)
        patch.setattr(grid, "CAMERA", (64, 48))
        patch.setattr(grid, "QUICK_ROUNDS", 4)
        for name, values in (
            ("IMAGES", ((64, 48), (96, 48))),
            ("CLASSES", (12,)),
            ("CELLS", (100,)),
            ("CAMERAS", (2,)),
        ):
            patch.setattr(scaling, name, (None, *values))
        patch.setattr(scaling, "QUICK_RECORDING_CHECKPOINTS", (4, 8))
        patch.setattr(scaling, "WARM_UP_FRAMES", 4)
        assert main(["bench", "speed", "--quick", "--model", str(model), "--threads", "1", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def summary(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "bench.json").read_text(encoding="utf-8"))
    return content


def test_every_part_gives_its_figures(summary: dict[str, Any]) -> None:
    latency_rows, baseline_rows, scaled = (summary["parts"][name] for name in ("latency", "baselines", "scaling"))
    assert [(row["width"], row["height"], row["classes"], row["cells"]) for row in latency_rows] == [
        (64, 48, 12, 200),
        (96, 48, 19, 200),
    ]
    for row in latency_rows:
        assert row["overhead"]["low"] <= row["overhead"]["value"] <= row["overhead"]["high"]
        whole = row["pipeline_ms"]
        assert 0 < whole["p50"] <= whole["p95"] <= whole["p99"]
        assert list(row["stages_ms"]) == ["resize", "ground", "network", "risk", "fuse", "costmap"]
        assert row["stages_ms"]["network"] == row["network_ms"]["p50"]
    assert {row["key"] for row in baseline_rows} >= {"nav2_tutorial", "pixel_projection"}
    assert [row["name"] for row in scaled["image"]] == ["64×48", "96×48"]
    assert all(
        0 < row["start_mb"] < row["peak_mb"]
        for what in ("image", "classes", "cells", "cameras")
        for row in scaled[what]
    )
    assert [row["x"] for row in scaled["bag"]] == [4, 8]
    assert [(row["cells"], row["projection"]) for row in summary["parts"]["grid"]] == [
        (side, projection) for side in (100, 200) for projection in ("plane", "depth")
    ]
    assert all(0 < row["grid_ms"]["p50"] <= row["grid_ms"]["p95"] for row in summary["parts"]["grid"])
    assert summary["parts"]["gpu"]["rows"] or summary["parts"]["gpu"]["skipped"]
    growth = (scaled["bag"][1]["rss_mb"] - scaled["bag"][0]["rss_mb"]) / 4 * 108_000
    assert scaled["bag"][1]["mb_per_hour"] == pytest.approx(growth, abs=0.1)


def test_latency_of_images_through_the_node_is_reported(summary: dict[str, Any]) -> None:
    if find_spec("rclpy") is None:
        assert summary["parts"]["ros"] == []
        pytest.skip("ROS 2 is not installed: pip install '.[ros]'")
    (row,) = summary["parts"]["ros"]
    assert (row["width"], row["height"], row["transport"], row["rate"], row["images"]) == (64, 48, "compressed", 20, 20)
    assert 0 < row["received"] <= 1 and row["cores"] > 0 and row["rss_mb"] > 0
    latency, stages = row["latency_ms"], row["stages_ms"]
    assert stages["network and risk"] >= 10 and latency["p50"] >= 10, "the fake engine takes 10 ms"
    assert latency["p50"] <= latency["p95"] <= latency["p99"]


@pytest.mark.parametrize(
    ("received", "p95", "met"), [(1.0, 39.0, [True, True]), (0.99, 41.0, [False, False]), (0.0, None, [False, False])]
)
def test_camera_targets_check_lost_images_and_latency(received: float, p95: float | None, met: list[bool]) -> None:
    case = {"width": 1280, "height": 720, "transport": "raw", "rate": 30, "received": received}
    row = {**case, "latency_ms": None if p95 is None else {"p95": p95}}
    assert [verdict.met for verdict in check_targets({"ros": [row, {**row, "rate": 60}]})] == met
    assert all("1280×720 raw at 30 Hz" in verdict.line() for verdict in check_targets({"ros": [row]}))


def test_baselines_and_pipeline_agree_where_they_compute_the_same(summary: dict[str, Any]) -> None:
    for row in summary["parts"]["baselines"]:
        agreement = row["agreement"]
        for name in {"labels", "confidence", "expected_cost"} & set(agreement):
            assert agreement[name] >= 0.999, (row["baseline"], name)


def test_the_page_works_in_a_browser(chromium: Any, out: Path, summary: dict[str, Any]) -> None:
    chromium.get((out / "bench.html").as_uri())
    assert chromium.get_log("browser") == []
    shown = chromium.find_element("tag name", "body").text
    assert "tiny, 64×48, 12 classes" in shown
    for row in summary["parts"]["baselines"]:
        assert row["baseline"] in shown
    assert len(chromium.find_elements("css selector", "#latency .stack")) == 2
    assert len(chromium.find_elements("css selector", "#scaling-charts svg")) == 10
    assert len(chromium.find_elements("css selector", "#grid-charts svg")) == 2
    assert len(chromium.find_elements("css selector", "#cameras tbody tr")) == len(summary["parts"]["ros"])
    assert len(chromium.find_elements("css selector", "#targets tbody tr")) == len(summary["targets"]) > 0


def test_a_single_part_makes_a_page_of_that_part(chromium: Any, out: Path, tmp_path: Path) -> None:
    from seg_perception.report.bench_page import write_bench_page

    summary = json.loads((out / "bench.json").read_text(encoding="utf-8"))
    only = {**summary, "targets": [], "parts": {"latency": summary["parts"]["latency"]}}
    write_bench_page(only, tmp_path / "bench.html")
    chromium.get((tmp_path / "bench.html").as_uri())
    assert chromium.get_log("browser") == []
    shown = chromium.find_element("tag name", "body").text
    assert "Latency of a frame" in shown and "Agreement with the baselines" not in shown
    assert "Scaling" not in shown


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    return save_tiny(tmp_path)


def bench_gpu(model: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("SEG_PERCEPTION_CACHE", str(model.parent / "cache"))
    monkeypatch.setattr(gpu, "LARGE", NetworkSize(96, 48, 19))
    monkeypatch.setattr(gpu, "QUICK_ROUNDS", 4)
    assert main(["bench", "speed", "gpu", "--quick", "--model", str(model), "--out", str(model.parent)]) == 0
    part: dict[str, Any] = json.loads((model.parent / "bench.json").read_text(encoding="utf-8"))["parts"]["gpu"]
    return part


def test_a_gpu_is_timed_by_engine_end_to_end_and_pipeline(
    chromium: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda, tensorrt = fake_gpu.install(monkeypatch)
    part = bench_gpu(tiny_model, monkeypatch)
    assert part["skipped"] == []
    cases = [(row["width"], row["height"], row["classes"], row["precision"]) for row in part["rows"]]
    assert cases == [(64, 48, 12, "fp32"), (64, 48, 12, "fp16"), (96, 48, 19, "fp32"), (96, 48, 19, "fp16")]
    assert tensorrt.built == 2 * len(cases), "of each the fused graph, and the network alone"
    assert not cuda.memory and not cuda.handles
    for row in part["rows"]:
        median = {name: row[f"{name}_ms"]["p50"] for name in ("plan", "run", "network", "pipeline")}
        assert min(median.values()) > 0
        ratios = {
            "run_over_plan": median["run"] / median["plan"],
            "pipeline_over_run": median["pipeline"] / median["run"],
            "overhead": median["pipeline"] / median["network"] - 1,
        }
        for name, expected in ratios.items():
            assert row[name]["low"] <= row[name]["value"] <= row[name]["high"]
            assert row[name]["value"] == pytest.approx(expected, rel=0.02), name
    chromium.get((tiny_model.parent / "bench.html").as_uri())
    assert chromium.get_log("browser") == []
    shown = chromium.find_element("tag name", "body").text
    assert all(row["engine"] in shown for row in part["rows"])
    assert len(chromium.find_elements("css selector", "#plans .range")) == len(cases)
    assert len(chromium.find_elements("css selector", "#plan-ratios tbody tr")) == len(cases)


def test_a_precision_that_cannot_be_built_is_skipped_with_the_reason(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_gpu.install(monkeypatch, flavour="tensorrt_rtx", version="1.7.1")
    monkeypatch.setattr(gpu, "PRECISIONS", ("int8", "fp16"))
    part = bench_gpu(tiny_model, monkeypatch)
    assert [(row["precision"], "TensorRT-RTX 1.7.1 on Orin" in row["engine"]) for row in part["rows"]] == [
        ("fp16", True),
        ("fp16", True),
    ]
    assert len(part["skipped"]) == 2
    assert "gpu: 64×48, 12 classes, int8 not measured: there is no int8 plan of 'tiny' yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("gpu", "gpu: not measured: there is no GPU that CUDA can use here (cudaSetDevice failed: NoDevice"),
        ("tensorrt", "gpu: not measured: TensorRT is not installed; TensorRT-RTX is not installed."),
    ],
)
def test_without_a_gpu_one_sentence_says_so(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str, sentence: str
) -> None:
    cuda, _ = fake_gpu.install(monkeypatch, flavour=None if missing == "tensorrt" else "tensorrt")
    if missing == "gpu":
        cuda.failing["cudaSetDevice"] = fake_gpu.Status.cudaErrorNoDevice
    part = bench_gpu(tiny_model, monkeypatch)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("gpu: "))
    assert line.startswith(sentence)
    assert part == {"rows": [], "skipped": [line.removeprefix("gpu: ")]}


def test_an_unknown_part_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "speed", "baseline", "--out", str(tmp_path)]) == 2
    assert (
        "bench speed baseline: is not a part of the benchmark; name one or more of latency, baselines, ros, grid, "
        "scaling, gpu, ray, soak." in capsys.readouterr().err
    )


def test_the_soak_test_reports_memory_of_pipeline_replay_and_node(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "QUICK_FRAMES", {"pipeline": 1200, "replay": 150, "node": 80})
    monkeypatch.setattr(soak, "WARM_UP_FRAMES", 50)
    monkeypatch.setattr(soak, "SAMPLES", 2)
    monkeypatch.setattr(soak, "_WIDTH", 64)
    monkeypatch.setattr(soak, "_HEIGHT", 48)
    given = ["--model", str(tiny_model), "--threads", "1", "--out", str(tmp_path)]
    assert main(["bench", "speed", "soak", "--quick", *given]) == 0
    memory = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["parts"]["soak"]
    assert [row["x"] for row in memory["pipeline"]] == [50, 625, 1200]
    assert [row["x"] for row in memory["replay"]] == [50, 100, 150]
    assert ("node" in memory) == (find_spec("rclpy") is not None)
    # A float32 costmap that stayed behind with each frame would be 46 MB here.
    assert memory["pipeline"][2]["rss_mb"] - memory["pipeline"][0]["rss_mb"] < 15


@pytest.mark.parametrize(("peak", "met"), [(101.9, True), (102.1, False)])
def test_memory_more_than_two_percent_above_the_warm_up_misses_the_target(peak: float, met: bool) -> None:
    rows = [{"x": number, "rss_mb": memory} for number, memory in ((1000, 100.0), (2000, peak), (3000, 100.0))]
    (verdict,) = check_targets({"soak": {"pipeline": rows}})
    assert verdict.met == met and "from 1000 to 3000 frames, pipeline" in verdict.line()


def test_a_repeated_recording_continues_in_time_with_one_static_transform(tmp_path: Path) -> None:
    focal = 32 / math.tan(math.radians(31))
    camera = Camera.from_fields(64, 48, "plumb_bob", [focal, 0, 31.5, 0, focal, 23.5, 0, 0, 1], ())
    write_drive(tmp_path / "once", Scenario(camera, duration=0.2))
    repeat_recording(tmp_path / "once", tmp_path / "thrice", 3, 200_000_000)
    stamps: dict[str, list[int]] = {}
    with Reader(tmp_path / "thrice") as reader:
        for connection, _, data in reader.messages():
            message: Any = ros2_types().deserialize_cdr(data, connection.msgtype)
            stamp = getattr(message, "transforms", [message])[0].header.stamp
            stamps.setdefault(connection.topic, []).append(stamp.sec * 10**9 + stamp.nanosec)
    first = stamps[IMAGE][0]
    assert [stamp - first for stamp in stamps[IMAGE]] == [number * 100_000_000 for number in range(6)]
    assert len(stamps[TF_STATIC]) == 1
