"""Training with point labels: the multiple-instance loss, alone and with other losses."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train' (pip install seg_perception[train])")

from seg_perception.datasets.dataset import IGNORE, load_sample  # noqa: E402
from seg_perception.datasets.point_supervision import (  # noqa: E402
    POINT_OFFSET,
    sample_point_labels,
    write_point_labels,
)
from seg_perception.errors import ConfigError  # noqa: E402
from seg_perception.training.losses.combined import TrainingLoss  # noqa: E402
from seg_perception.training.losses.point_supervision import (  # noqa: E402
    mil_bags,
    point_supervision,
    without_point_labels,
)
from seg_perception.training.plan import load_plan  # noqa: E402
from seg_perception.training.train import train  # noqa: E402

CLASSES = ("Dark", "Bright")


def random_batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    target = np.full((2, 12, 16), IGNORE, np.int64)
    target[0, 2:5, 2:5], target[0, 8:10, 3:9], target[1, 0:3, 10:16] = POINT_OFFSET, POINT_OFFSET + 2, POINT_OFFSET
    target[1, 6:8, 6:8], target[0, 2:5, 7:9], target[0, 6, 0] = 1, POINT_OFFSET, 2
    logits = torch.tensor(rng.normal(0, 2, (2, 3, 12, 16)), requires_grad=True)
    return logits, torch.from_numpy(target)


def test_the_loss_is_the_mean_over_bags_of_the_log_of_their_mean_probability() -> None:
    logits, target = random_batch(0)
    p = torch.softmax(logits.detach(), dim=1).numpy()
    bags = [p[0, 0, 2:5, 2:5], p[0, 0, 2:5, 7:9], p[0, 2, 8:10, 3:9], p[1, 0, 0:3, 10:16]]
    expected = np.mean([-np.log(bag.mean()) for bag in bags])
    assert float(point_supervision(torch.log_softmax(logits.detach(), 1), target)) == pytest.approx(expected, rel=1e-9)


def test_the_gradient_of_the_loss_is_right() -> None:
    logits, target = random_batch(1)
    part = logits.detach()[:1, :, :6, :10].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: point_supervision(torch.log_softmax(z, 1), target[:1, :6, :10]), (part,))


def test_a_minority_of_another_class_in_a_bag_costs_less_than_with_cross_entropy() -> None:
    target = torch.full((1, 1, 10), POINT_OFFSET)
    logits = torch.zeros(1, 2, 1, 10)
    logits[:, 0] = 12.0
    logits[0, 0, 0, :2] = -12.0
    log_q = torch.log_softmax(logits, 1)
    assert float(point_supervision(log_q, target)) == pytest.approx(-np.log(0.8), abs=1e-4)
    assert float(-log_q[0, 0].mean()) > 2.0


def test_the_loss_stays_finite_where_every_probability_underflows() -> None:
    logits = torch.tensor([-300.0, 0.0]).view(1, 2, 1, 1).repeat(1, 1, 2, 3).requires_grad_()
    loss = point_supervision(torch.log_softmax(logits, 1), torch.full((1, 2, 3), POINT_OFFSET))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(300.0)
    assert torch.isfinite(logits.grad).all() and (logits.grad[:, 0] < 0).all()


def test_without_a_bag_the_loss_is_zero_with_a_gradient_of_zero() -> None:
    logits = torch.zeros(1, 2, 3, 3, requires_grad=True)
    loss = point_supervision(torch.log_softmax(logits, 1), torch.full((1, 3, 3), IGNORE))
    loss.backward()
    assert float(loss.detach()) == 0.0 and not logits.grad.any()


def test_bags_that_touch_are_separated_by_class_and_image() -> None:
    target = np.full((2, 4, 6), IGNORE)
    target[0, :, :3], target[0, :, 3:], target[1, :, :3] = POINT_OFFSET, POINT_OFFSET + 1, POINT_OFFSET
    bags, labels = mil_bags(target)
    assert labels.tolist() == [0, 1, 0]
    assert (bags[0, :, :3] == 1).all() and (bags[0, :, 3:] == 2).all() and (bags[1, :, :3] == 3).all()
    assert not bags[1, :, 3:].any()


PLAN = """
training_data: toy squares
licence: none
classes: {{Dark: [0, 0, 0], Bright: [255, 255, 255]}}
input: {{width: 64, height: 48}}
train:
  clicked: {{images: images, clicks: clicks, radius: 4}}
  {masks}
validation: {{toy: {validation}}}
settings: {{epochs: 20, batch: 4, crop: [64, 48], learning_rate: 0.003, weight_decay: 0.01,
  losses: {losses}, seed: 3}}
"""
MASKS = "{images: images, labels: labels, values: {0: Dark, 1: Bright}}"
CLICKS = "{images: images, clicks: clicks}"


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for folder in ("images", "labels", "clicks"):
        (tmp_path / folder).mkdir()
    for index in range(8):
        label = np.zeros((48, 64), np.uint8)
        x, y = rng.integers(0, 32), rng.integers(0, 24)
        label[y : y + 24, x : x + 32] = 1
        image = (label[:, :, None] * 140 + 50 + rng.integers(-20, 20, (48, 64, 3))).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), image)
        cv2.imwrite(str(tmp_path / "labels" / f"{index}.png"), label)
        write_point_labels(tmp_path / "clicks" / f"{index}.csv", sample_point_labels(label, 2, rng), CLASSES)
    return tmp_path


def plan(folder: Path, losses: str = "{clicks: 1.0}", masks: str = "", validation: str = MASKS) -> Path:
    path = folder / "plan.yaml"
    path.write_text(PLAN.format(losses=losses, masks=masks, validation=validation), encoding="utf-8")
    return path


def test_a_network_learns_from_point_labels_alone(toy: Path) -> None:
    train(load_plan(plan(toy)), toy / "run", validate_every=20, report=lambda line: None)
    last = json.loads((toy / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert last["iou"]["mean"] > 0.6


def test_other_losses_use_masks_only_and_the_point_loss_is_added(toy: Path) -> None:
    both = load_plan(plan(toy, "{cross_entropy: 1.0, dice: 0.5, clicks: 2.0}", f"masked: {MASKS}"))
    masks_only = load_plan(plan(toy, "{cross_entropy: 1.0, dice: 0.5, clicks: 0.0}", f"masked: {MASKS}"))
    counts = np.array([10, 10], np.int64)
    device = torch.device("cpu")
    clicked, masked = (torch.from_numpy(load_sample(part, 0).label.astype(np.int64))[None] for part in both.train)
    target = torch.cat([clicked, masked])
    logits = torch.randn(2, 2, 12, 16, generator=torch.Generator().manual_seed(0))
    full = torch.nn.functional.interpolate(logits, size=(48, 64), mode="bilinear", align_corners=False)
    of_masks = TrainingLoss(masks_only.losses, masks_only.space, counts, device)
    of_both = TrainingLoss(both.losses, both.space, counts, device)
    masks_target = without_point_labels(target)
    assert (masks_target[0] == IGNORE).all() and (masks_target[1] == masked[0]).all()
    expected = of_masks(logits, masks_target) + 2.0 * point_supervision(torch.log_softmax(full, 1), target)
    assert float(of_both(logits, target)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"losses": "{cross_entropy: 1.0}"}, "has no 'clicks', but training data have clicks"),
        ({"validation": CLICKS}, "holds clicks, which say nothing about most pixels; validate on full masks"),
    ],
)
def test_point_labels_that_cannot_be_used_are_refused(toy: Path, changes: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_plan(plan(toy, **changes))


def test_an_image_without_its_file_of_points_is_named(toy: Path) -> None:
    (toy / "clicks" / "3.csv").unlink()
    with pytest.raises(ConfigError, match=r"1 images and clicks below .* have no partner of the same name, first 3"):
        load_plan(plan(toy))
