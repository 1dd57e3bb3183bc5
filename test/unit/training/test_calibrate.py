"""Calibration selects the fit that generalises to other images, and its metrics are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from seg_perception.datasets.dataset import Dataset, LabelSpace
from seg_perception.errors import ConfigError
from seg_perception.training.calibration.calibrate import Calibration, calibrate

SIZE = (64, 48)
SPACE = LabelSpace(("A", "B", "C"), ())
IMAGES = 6

Logits = NDArray[np.float32]
World = tuple[Dataset, dict[bytes, Logits]]


def probabilities(logits: Logits) -> Logits:
    mass = np.exp(logits - logits.max(axis=0))
    return mass / mass.sum(axis=0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Images with known logits, and labels drawn from exactly their softmax."""
    rng = np.random.default_rng(5)
    logits: dict[bytes, Logits] = {}
    images, labels = [], []
    for index in range(IMAGES):
        image = rng.integers(0, 255, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
        ground_truth = rng.normal(0.0, 1.5, (3, SIZE[1], SIZE[0])).astype(np.float32)
        label = (
            (rng.random(ground_truth.shape[1:]) > probabilities(ground_truth).cumsum(axis=0)[:-1])
            .sum(axis=0)
            .astype(np.uint8)
        )
        for kind, picture, paths in (("image", image, images), ("label", label, labels)):
            paths.append(tmp_path / f"{index}_{kind}.png")
            cv2.imwrite(str(paths[-1]), picture[:, :, ::-1] if kind == "image" else picture)
        logits[image.tobytes()] = ground_truth
    return Dataset("toy", tuple(images), tuple(labels), np.arange(256, dtype=np.uint8)), logits


def calibrated(world: World, distort: Callable[[int, Logits], Logits]) -> Calibration:
    """Calibrate a network whose logits are the right ones of the n-th image, distorted."""
    dataset, logits = world
    number = {key: index for index, key in enumerate(logits)}

    def network(image: NDArray[np.uint8]) -> Logits:
        key = image.tobytes()
        return distort(number[key], logits[key])

    return calibrate(network, [dataset], SPACE, SIZE)


def column(*values: float) -> Logits:
    return np.array(values, np.float32).reshape(-1, 1, 1)


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_a_wrong_temperature_is_found_and_vector_scaling_is_not_selected(world: World, factor: float) -> None:
    result = calibrated(world, lambda index, logits: logits * np.float32(factor))
    assert result.scaling.temperature == pytest.approx(factor, rel=0.05)
    assert not result.scaling.scale and not result.scaling.bias
    assert result.nll_temperature < result.nll_vector
    assert result.after.ece() < 0.02
    if factor != 1.0:
        assert result.before.ece() > 0.05 and result.nll_temperature < result.nll_before
    np.testing.assert_array_equal(result.before.confusion, result.after.confusion)


def test_an_overconfident_class_gets_its_own_scale_and_bias(world: World) -> None:
    result = calibrated(world, lambda index, logits: logits + column(0, 0, 2))
    assert result.nll_vector < result.nll_temperature - 0.05
    bias = np.array(result.scaling.bias)
    np.testing.assert_allclose(bias - bias[0], [0, 0, -2], atol=0.5)
    assert result.after.ece() < 0.03 < result.before.ece()
    assert result.after.classwise_ece() < 0.03 < result.before.classwise_ece()
    assert np.nanmean(result.after.iou()) > np.nanmean(result.before.iou()) + 0.03


def test_a_bias_of_only_one_half_is_not_fitted(world: World) -> None:
    def distort(index: int, logits: Logits) -> Logits:
        return 2 * logits + column(0, 0, 2 if index < IMAGES // 2 else -2)

    result = calibrated(world, distort)
    assert not result.scaling.scale
    assert result.scaling.temperature > 1.5
    # Opposite errors of the two halves do not cancel in the metrics of each half.
    assert min(half.classwise_ece() for half in result.halves_after) > 2 * result.after.classwise_ece()

    def every_other(index: int, logits: Logits) -> Logits:
        return 2 * logits + column(0, 0, 2 if index % 2 else 1)

    assert calibrated(world, every_other).scaling.scale, "a bias of both halves is fitted"


@pytest.mark.slow
def test_metrics_agree_with_a_plain_implementation_of_cross_validation(world: World) -> None:
    dataset, logits = world
    result = calibrated(world, lambda index, logits: 2 * logits)
    halves = [list(logits.values())[: IMAGES // 2], list(logits.values())[IMAGES // 2 :]]
    paths = [dataset.labels[: IMAGES // 2], dataset.labels[IMAGES // 2 :]]
    nll, confidences, hits = [], [], []
    for half, own, other in ((0, halves[0], halves[1]), (1, halves[1], halves[0])):
        temperature = _best_temperature([2 * z for z in other], paths[1 - half])
        for z, path in zip(own, paths[half], strict=True):
            p = probabilities(2 * z / temperature)
            label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            nll.append(-np.log(np.take_along_axis(p, label[None].astype(int), axis=0)))
            confidences.append(p.max(axis=0).ravel())
            hits.append(p.argmax(axis=0).ravel() == label.ravel())
    assert result.nll_temperature == pytest.approx(np.mean(nll), abs=1e-4)
    confidence, correct = np.concatenate(confidences), np.concatenate(hits)
    assert result.after.reliability.count.sum() == confidence.size
    assert np.trace(result.after.confusion) == correct.sum()
    gaps = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        gaps += abs(correct[inside].sum() - confidence[inside].sum())
    assert result.after.ece() == pytest.approx(gaps / confidence.size, abs=2e-3)


def _best_temperature(logits: list[Logits], labels: tuple[Path, ...]) -> float:
    z = np.concatenate([part.reshape(3, -1) for part in logits], axis=1).astype(np.float64)
    ground_truth = np.concatenate([cv2.imread(str(path), cv2.IMREAD_UNCHANGED).ravel() for path in labels])
    candidates = np.linspace(1.5, 2.5, 1001)
    right = z[ground_truth, np.arange(len(ground_truth))]
    losses = [np.mean(np.log(np.exp(z / t).sum(axis=0)) - right / t) for t in candidates]
    return float(candidates[int(np.argmin(losses))])


def test_labels_that_overlap_are_refused(world: World) -> None:
    dataset, logits = world
    table = np.arange(256, dtype=np.uint8)
    table[2] = 3  # the third label now says "A or B", while A and B are labelled on their own too
    overlapping = Dataset("toy", dataset.images, dataset.labels, table)
    with pytest.raises(ConfigError, match="both alone and within a choice"):
        calibrate(lambda image: logits[image.tobytes()], [overlapping], LabelSpace(("A", "B", "C"), ((0, 1),)), SIZE)


def test_halves_without_labelled_pixels_are_refused(world: World, tmp_path: Path) -> None:
    dataset, logits = world
    single = Dataset("toy", dataset.images[:1], dataset.labels[:1], dataset.table)
    with pytest.raises(ConfigError, match=r"at least two images in a validation dataset; add some\.$"):
        calibrate(lambda image: logits[image.tobytes()], [single], SPACE, SIZE)
    cv2.imwrite(str(tmp_path / "nothing.png"), np.full(SIZE[::-1], 255, np.uint8))
    half_labelled = Dataset("toy", dataset.images[:2], (dataset.labels[0], tmp_path / "nothing.png"), dataset.table)
    with pytest.raises(ConfigError, match=r"one has no labelled pixel; add labelled images\.$"):
        calibrate(lambda image: logits[image.tobytes()], [half_labelled], SPACE, SIZE)


def test_images_without_labels_are_skipped(world: World, tmp_path: Path) -> None:
    dataset, logits = world
    cv2.imwrite(str(tmp_path / "nothing.png"), np.full(SIZE[::-1], 255, np.uint8))
    labels = (tmp_path / "nothing.png", *dataset.labels[1:])
    partly = Dataset("toy", dataset.images, labels, dataset.table)
    calls = []
    result = calibrate(
        lambda image: logits[image.tobytes()], [partly], SPACE, SIZE, lambda done, total: calls.append((done, total))
    )
    assert result.after.confusion.sum() == (IMAGES - 1) * SIZE[0] * SIZE[1]
    assert calls == [(done, 2 * IMAGES) for done in range(1, 2 * IMAGES + 1)]
