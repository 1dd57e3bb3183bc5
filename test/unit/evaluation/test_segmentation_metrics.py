"""IoU, accuracy and calibration error against hand-worked cases, brute force and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg_perception.evaluation.metrics.segmentation import Reliability, confusion_matrix, iou_per_class, pixel_accuracy


def test_iou_of_a_hand_worked_case() -> None:
    ground_truth = np.array([0, 0, 0, 1, 1, 255])
    predicted = np.array([0, 0, 1, 1, 0, 2])
    confusion = confusion_matrix(ground_truth, predicted, 3)
    assert confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    iou = iou_per_class(confusion)
    assert iou[:2] == pytest.approx([2 / 4, 1 / 3])
    assert np.isnan(iou[2]), "a class neither labelled nor predicted has no IoU"
    assert pixel_accuracy(confusion) == pytest.approx(3 / 5)
    assert np.isnan(pixel_accuracy(np.zeros((2, 2), np.int64)))


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_iou_agrees_with_sets_of_pixels(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    ground_truth = rng.integers(0, classes + 1, 200)
    predicted = rng.integers(0, classes, 200)
    iou = iou_per_class(confusion_matrix(ground_truth, predicted, classes))
    labelled = {i for i in range(200) if ground_truth[i] < classes}
    for index in range(classes):
        a = {i for i in labelled if ground_truth[i] == index}
        b = {i for i in labelled if predicted[i] == index}
        if a | b:
            assert iou[index] == pytest.approx(len(a & b) / len(a | b))
        else:
            assert np.isnan(iou[index])


def maps(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ground truth and prediction of 4 classes, 255 unlabelled."""
    ground_truth, predicted = rng.integers(0, 4, (2, 12, 16))
    if kind == "void in places":
        ground_truth[rng.random(ground_truth.shape) < 0.3] = 255
    if kind == "nothing labelled":
        ground_truth[:] = 255
    if kind == "a class missing in both":
        ground_truth, predicted = ground_truth % 3, predicted % 3
    if kind == "a class never predicted":
        predicted %= 3
    if kind == "one class everywhere":
        predicted[:] = 0
    if kind == "a single pixel":
        ground_truth, predicted = np.zeros_like(ground_truth), np.zeros_like(ground_truth)
        ground_truth[3, 4] = predicted[3, 5] = 1
    if kind == "identical":
        predicted = ground_truth.copy()
    return ground_truth, predicted


@pytest.mark.parametrize(
    "kind",
    [
        *("random", "void in places", "nothing labelled", "a class missing in both", "a class never predicted"),
        *("one class everywhere", "a single pixel", "identical"),
    ],
)
def test_confusion_and_iou_agree_with_torchmetrics(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    reference = pytest.importorskip("torchmetrics.functional.classification", reason="torchmetrics is not installed")
    rng = np.random.default_rng(0)
    for _ in range(5):
        ground_truth, predicted = maps(kind, rng)
        confusion = confusion_matrix(ground_truth, predicted, 4)
        tensors = torch.from_numpy(predicted), torch.from_numpy(ground_truth)
        expected = reference.multiclass_confusion_matrix(*tensors, 4, ignore_index=255)
        np.testing.assert_array_equal(confusion, expected.numpy())
        iou = reference.multiclass_jaccard_index(*tensors, 4, ignore_index=255, average="none").numpy()
        # An undefined IoU is 0 in torchmetrics and NaN here.
        np.testing.assert_allclose(np.nan_to_num(iou_per_class(confusion)), iou, atol=1e-6)
        present = confusion.any(axis=0) | confusion.any(axis=1)
        np.testing.assert_array_equal(np.isnan(iou_per_class(confusion)), ~present)


def test_calibration_error_agrees_with_torchmetrics() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    reference = pytest.importorskip("torchmetrics.functional.classification", reason="torchmetrics is not installed")
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(5, 0.4), 3000)
    ground_truth = rng.integers(0, 5, 3000)
    ours = Reliability.of(p.max(axis=1), p.argmax(axis=1) == ground_truth).expected_calibration_error()
    theirs = reference.multiclass_calibration_error(torch.from_numpy(p), torch.from_numpy(ground_truth), 5, n_bins=15)
    assert ours == pytest.approx(float(theirs), abs=1e-6)
    assert ours > 0.2


def test_calibration_error_of_a_known_mixture() -> None:
    # 100 decisions at confidence 0.9 of which 60 are right: |0.6 - 0.9| = 0.3, whatever the binning.
    confidence = np.full(100, 0.9)
    correct = np.arange(100) < 60
    assert Reliability.of(confidence, correct).expected_calibration_error() == pytest.approx(0.3)
    # A second, perfectly calibrated half at another confidence dilutes it.
    both = Reliability.of(confidence, correct) + Reliability.of(np.full(100, 0.5), np.arange(100) < 50)
    assert both.expected_calibration_error() == pytest.approx(0.15)


def test_certain_decisions_fall_into_the_last_bin() -> None:
    reliability = Reliability.of(np.array([1.0, 0.0]), np.array([True, False]))
    assert reliability.count[-1] == 1 and reliability.count[0] == 1
    assert reliability.expected_calibration_error() == 0.0
