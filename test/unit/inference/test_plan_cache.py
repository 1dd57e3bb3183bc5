"""The plan cache: plans are found again, never confused, rebuilt when damaged, and built once by many processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import fake_gpu
from support import tiny_networks as tiny
from support.fake_gpu import FakeCuda, FakeTensorRt

from seg_perception.errors import DeviceError, ModelError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.precision.convert import convert_precision
from seg_perception.inference.prepared_graphs import load_card, prepare_graphs
from seg_perception.inference.progress import ProgressReporter
from seg_perception.inference.tensorrt import plan as plans
from seg_perception.inference.tensorrt.api import find_tensorrt
from seg_perception.inference.tensorrt.cuda import Cuda
from seg_perception.inference.tensorrt.open import open_from_cache, plan_target
from seg_perception.inference.tensorrt.plan_build import BuildRequest, build_plan
from seg_perception.inference.tensorrt.plan_cache import PlanCache, cache_folder
from seg_perception.model.logit_calibration import LogitCalibration

SPEC = GraphSpec(sample_points=3)


class Robot:
    """A machine with a fake GPU and one network; counts builds and keeps log messages."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        monkeypatch.setenv("SEG_PERCEPTION_CACHE", str(folder / "cache"))
        self.model = tiny.save(folder, tiny.network(), tiny.card())
        self.cuda: FakeCuda
        self.tensorrt: FakeTensorRt
        self.has()
        self.messages: list[str] = []

    def has(self, flavour: str = "tensorrt", version: str = "10.3.0") -> None:
        self.cuda, self.tensorrt = fake_gpu.install(self.monkeypatch, flavour, version)

    def open(self, **options: Any) -> None:
        self.messages.clear()
        spec = options.pop("spec", SPEC)
        model = options.pop("model", self.model)
        open_engine(
            model, spec, reporter=ProgressReporter(self.messages.append), **{"backend": "tensorrt", **options}
        ).close()

    @property
    def files(self) -> list[Path]:
        return sorted(cache_folder().glob("*.plan"))


@pytest.fixture
def robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Robot:
    return Robot(tmp_path, monkeypatch)


def test_a_plan_is_built_once_and_then_only_loaded(robot: Robot) -> None:
    robot.open()
    assert robot.messages == [
        "building a plan of tiny in fp32 for tensorrt 10.3.0 on Orin (compute capability 8.7); "
        "this takes minutes, once."
    ]
    before = robot.files[0].stat().st_mtime_ns
    for _ in range(3):
        robot.open()
        assert robot.messages == []
    assert robot.tensorrt.built == 1
    assert robot.files[0].stat().st_mtime_ns == before


def test_the_progress_of_a_build_is_reported(robot: Robot) -> None:
    shares: list[float] = []
    open_engine(robot.model, SPEC, backend="tensorrt", reporter=ProgressReporter(progress=shares.append))
    assert shares == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    "change",
    [
        lambda robot: robot.has(version="10.4.0"),
        lambda robot: setattr(robot.cuda, "name", "Thor"),
        lambda robot: setattr(robot.cuda, "capability", (11, 0)),
    ],
)
def test_a_plan_for_another_target_is_never_loaded_and_both_targets_are_named(
    robot: Robot, change: Callable[[Robot], None]
) -> None:
    robot.open()
    change(robot)
    robot.open()
    (sentence,) = robot.messages
    assert "; those in the cache are for tensorrt 10.3.0 on Orin (compute capability 8.7); this takes" in sentence
    assert len(robot.files) == 2


def test_another_network_precision_size_or_calibration_is_another_plan(robot: Robot, tmp_path: Path) -> None:
    robot.open()
    robot.open(precision="fp16")
    robot.open(spec=GraphSpec(sample_points=4))
    other = tmp_path / "other"
    other.mkdir()
    robot.open(model=tiny.save(other, tiny.network(seed=1), tiny.card()))
    warmer = tmp_path / "warmer"
    warmer.mkdir()
    robot.open(model=tiny.save(warmer, tiny.network(), tiny.card(calibration={"fp32": LogitCalibration(1.5)})))
    assert robot.tensorrt.built == len(robot.files) == 5


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (flip, "is not the plan that its manifest describes (its sha256 differs); the plan is built again."),
        (lambda plan: plan.write_bytes(plan.read_bytes()[:100]), "is not the plan that its manifest describes"),
        (lambda plan: plan.write_bytes(b""), "is not the plan that its manifest describes"),
        (lambda plan: plans.manifest_path(plan).unlink(), "is missing, so the plan cannot be verified"),
        (lambda plan: plans.manifest_path(plan).write_text("{"), "is not a manifest of a plan"),
        (lambda plan: plans.manifest_path(plan).write_text('{"format": 99}'), "is not a manifest of a plan"),
        (lambda plan: plans.manifest_path(plan).write_text("[]"), "is not a manifest of a plan"),
    ],
)
def test_a_damaged_plan_is_built_again(robot: Robot, damage: Callable[[Path], Any], sentence: str) -> None:
    robot.open()
    damage(robot.files[0])
    robot.open()
    assert sentence in robot.messages[0] and robot.messages[0].endswith("; the plan is built again.")
    assert robot.tensorrt.built == 2
    robot.open()
    assert robot.messages == [] and robot.tensorrt.built == 2


def test_a_valid_plan_that_tensorrt_does_not_load_is_built_again_once(robot: Robot) -> None:
    robot.open()
    robot.tensorrt.refuses["load"] = "serialized by another driver"
    with pytest.raises(DeviceError, match=r"does not load the plan: serialized by another driver\."):
        robot.open()
    assert robot.tensorrt.built == 2
    assert robot.messages[0] == (
        "TensorRT 10.3.0 does not load the plan: serialized by another driver; the plan is built again."
    )


def test_a_failed_write_leaves_the_old_plan_unchanged(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    robot.open()
    plan = robot.files[0]
    before = plan.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelError, match=r"\.plan: cannot be written \(No space left on device\); free space"):
        plans.write_atomically(plan, b"half")
    assert plan.read_bytes() == before
    assert not [path for path in plan.parent.iterdir() if path.name.startswith(".urban")]


def test_an_unwritable_cache_is_an_error_with_the_fix(robot: Robot, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(ModelError, match=r"cannot be written .*; correct the folder's rights, or name another in SEG_"):
        robot.open()


def test_int8_is_rebuilt_for_a_new_tensorrt_without_calibration_images(robot: Robot) -> None:
    card = load_card(robot.model, None)
    request = BuildRequest(card, SPEC, prepare_graphs(robot.model, card, SPEC), "int8")
    noise = np.random.default_rng(0).integers(0, 256, (1, 48, 64, 3), dtype=np.uint8)
    converted = convert_precision(request.graphs.fused, "int8", [noise])
    api, cuda = find_tensorrt("tensorrt"), Cuda()
    plan = build_plan(api, plan_target(api, cuda.gpu), request, converted, None, lambda share: None)
    PlanCache().store(plan, converted)
    robot.has(version="10.9.0")
    robot.open(precision="int8")
    assert "those in the cache are for tensorrt 10.3.0" in robot.messages[0]
    newest = next(path for path in robot.files if plans.read_manifest(path).target.version == "10.9.0")
    assert plans.read_manifest(newest).converted_sha256 == plans.graph_sha256(converted)


def test_no_plan_is_built_from_a_damaged_graph_in_the_cache(robot: Robot) -> None:
    test_int8_is_rebuilt_for_a_new_tensorrt_without_calibration_images(robot)
    for plan in robot.files:
        flip(plan.with_name(plan.name + ".onnx"))
    robot.has(version="11.0.0")
    with pytest.raises(ModelError, match="only calibration images can make the first"):
        robot.open(precision="int8")


def test_a_plan_file_runs_where_it_was_built_and_elsewhere_names_both_targets(robot: Robot, tmp_path: Path) -> None:
    robot.open()
    folder = tmp_path / "carried"
    folder.mkdir()
    plan = folder / "tiny.plan"
    for suffix in ("", ".json", ".onnx"):
        source = robot.files[0].with_name(robot.files[0].name + suffix)
        plan.with_name(plan.name + suffix).write_bytes(source.read_bytes())
    (folder / "tiny.yaml").write_bytes(robot.model.with_suffix(".yaml").read_bytes())
    engine = open_engine(plan, SPEC)
    assert engine.time_network()[0] > 0
    with pytest.raises(
        ModelError, match=r"was built for other settings \(sample_points 3 instead of 9\); compile again"
    ):
        open_engine(plan, GraphSpec(sample_points=9))
    with pytest.raises(ModelError, match="is a TensorRT plan, which onnx_cpu cannot run; give the ONNX file"):
        open_engine(plan, SPEC, backend="onnx_cpu")
    robot.cuda.name, robot.cuda.capability = "Thor", (11, 0)
    with pytest.raises(
        ModelError,
        match=r"tiny.plan: was built for tensorrt 10\.3\.0 on Orin \(compute capability 8\.7\), but this machine has "
        r"tensorrt 10\.3\.0 on Thor \(compute capability 11\.0\); build it again here with: seg-perception compile",
    ):
        open_engine(plan, SPEC)
    tiny.save(folder, tiny.network(seed=3), tiny.card())
    with pytest.raises(ModelError, match=r"was made from the network with sha256 .* but its model card is of"):
        open_engine(plan, SPEC)
    flip(plan)
    with pytest.raises(ModelError, match="is not the plan that its manifest describes"):
        open_engine(plan, SPEC)


def test_an_interrupted_build_raises_and_leaves_no_plan(robot: Robot) -> None:
    def interrupt(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_engine(robot.model, SPEC, backend="tensorrt", reporter=ProgressReporter(progress=interrupt))
    assert robot.files == []
    assert not robot.cuda.memory and not robot.cuda.handles
    robot.open()
    assert len(robot.files) == 1


def test_the_manifest_describes_the_plan(robot: Robot) -> None:
    robot.open()
    content = json.loads(plans.manifest_path(robot.files[0]).read_text())
    card = load_card(robot.model, None)
    assert content["source"]["model_sha256"] == card.sha256
    assert content["plan_sha256"] == plans.sha256(robot.files[0].read_bytes())
    assert content["target"] == {
        "flavour": "tensorrt", "version": "10.3.0", "gpu": "Orin", "compute_capability": "8.7"
    }  # fmt: skip
    assert content["inputs"] == {
        "image": ["uint8", [1, 48, 64, 3]], "costs": ["float32", [6, 5]], "sample_points": ["float32", [1, 3, 2]]
    }  # fmt: skip
    assert content["outputs"]["labels"] == ["uint8", [1, 48, 64]]
    assert content["outputs"]["sample_probabilities"] == ["float32", [1, 3, 5]]
    assert (
        content["spec"]["sample_points"] == 3 and content["precision_parity"] is None and content["build_seconds"] >= 0
    )


def test_plans_lie_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SEG_PERCEPTION_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "seg_perception" / "plans"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/robot")
    assert cache_folder() == Path("/home/robot/.cache/seg_perception/plans")


def test_a_network_is_opened_from_another_cache_folder(robot: Robot, tmp_path: Path) -> None:
    card = load_card(robot.model, None)
    request = BuildRequest(card, SPEC, prepare_graphs(robot.model, card, SPEC), "fp32")
    open_from_cache("tensorrt", request, ProgressReporter(), PlanCache(tmp_path / "mine")).close()
    assert len(list((tmp_path / "mine").glob("*.plan"))) == 1
    assert robot.files == []
