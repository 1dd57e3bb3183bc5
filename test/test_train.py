"""The training loop on a toy task: it learns, it resumes exactly, and the exported network computes the same."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train' (pip install seg_perception[train])")

from seg_perception.errors import ConfigError  # noqa: E402
from seg_perception.training.network import NetworkSpec, SegmentationNetwork, export_onnx  # noqa: E402
from seg_perception.training.plan import load_plan  # noqa: E402
from seg_perception.training.train import train  # noqa: E402

PLAN = """
training_data: toy squares
licence: none
classes: {{Dark: [0, 0, 0], Bright: [255, 255, 255]}}
input: {{width: 64, height: 48}}
train: {{toy: {{images: images, labels: labels, values: {{0: Dark, 1: Bright}}}}}}
validation: {{toy: {{images: images, labels: labels, values: {{0: Dark, 1: Bright}}}}}}
settings: {{epochs: {epochs}, batch: 4, crop: [64, 48], learning_rate: 0.003, weight_decay: 0.01,
  losses: {{cross_entropy: 1.0, dice: 0.5}}, seed: 3}}
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for index in range(8):
        label = np.zeros((48, 64), np.uint8)
        x, y = rng.integers(0, 32), rng.integers(0, 24)
        label[y : y + 24, x : x + 32] = 1
        image = (label[:, :, None] * 140 + 50 + rng.integers(-20, 20, (48, 64, 3))).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), image)
        cv2.imwrite(str(tmp_path / "labels" / f"{index}.png"), label)
    return tmp_path


def _plan(folder: Path, epochs: int) -> Path:
    path = folder / "plan.yaml"
    path.write_text(PLAN.format(epochs=epochs), encoding="utf-8")
    return path


def test_a_run_learns_and_logs_its_validation(toy: Path) -> None:
    train(load_plan(_plan(toy, 20)), toy / "run", report=lambda line: None)
    last = json.loads((toy / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert last["iou"]["mean"] > 0.8
    assert set(last["iou"]) == {"Dark", "Bright", "mean"}


def test_a_run_that_was_killed_and_resumed_ends_with_the_same_weights(toy: Path) -> None:
    plan = load_plan(_plan(toy, 3))
    whole = train(plan, toy / "whole", report=lambda line: None)

    def kill(done: int, total: int, loss: float) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(plan, toy / "halves", progress=kill, report=lambda line: None)
    halves = train(plan, toy / "halves", resume=True, report=lambda line: None)
    a, b = (torch.load(path, weights_only=True) for path in (whole, halves))
    assert a["epoch"] == b["epoch"] == 2
    for name, value in a["average"].items():
        assert torch.equal(value, b["average"][name]), name


def test_resuming_nothing_or_another_network_is_one_sentence(toy: Path) -> None:
    plan = load_plan(_plan(toy, 1))
    with pytest.raises(ConfigError, match=r"no checkpoint there; start without --resume"):
        train(plan, toy / "none", resume=True)
    checkpoint = train(plan, toy / "run", report=lambda line: None)
    other = toy / "other.yaml"
    other.write_text(_plan(toy, 1).read_text(encoding="utf-8").replace("Bright", "White"), encoding="utf-8")
    with pytest.raises(ConfigError, match="was trained for other classes"):
        train(load_plan(other), toy / "fine", start_from=checkpoint)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("dice: 0.5", "dyce: 0.5", "is not a loss"),
        ("crop: [64, 48]", "crop: [60, 48]", "multiples of 16"),
        ("batch: 4", "batch: 0", "within 2 to 4096"),
        ("seed: 3", "sede: 3", "key 'settings.seed': is missing"),
    ],
)
def test_mistakes_in_a_plan_name_file_and_key(toy: Path, old: str, new: str, sentence: str) -> None:
    path = _plan(toy, 1)
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=sentence):
        load_plan(path)


def test_the_network_has_about_a_million_parameters() -> None:
    count = sum(parameter.numel() for parameter in SegmentationNetwork(NetworkSpec(12)).parameters())
    assert 0.8e6 < count < 1.2e6


@pytest.mark.parametrize(("width", "height"), [(480, 360), (128, 96)])
def test_onnx_runtime_computes_what_torch_computes(tmp_path: Path, width: int, height: int) -> None:
    import onnxruntime

    torch.manual_seed(0)
    network = SegmentationNetwork(NetworkSpec(5)).eval()
    path = tmp_path / "network.onnx"
    export_onnx(network, path, width, height)
    x = torch.randn(1, 3, height, width)
    with torch.no_grad():
        expected = network(x).numpy()
    got = onnxruntime.InferenceSession(str(path)).run(["logits"], {"image": x.numpy()})[0]
    assert got.shape == (1, 5, height // 4, width // 4)
    np.testing.assert_allclose(got, expected, atol=1e-3)
