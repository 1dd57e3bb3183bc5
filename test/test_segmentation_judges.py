"""IoU and calibration error against hand-worked cases and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg_perception.evaluation.segmentation import Reliability, confusion_matrix, iou_per_class


def test_iou_of_a_hand_worked_case() -> None:
    truth = np.array([0, 0, 0, 1, 1, 255])
    predicted = np.array([0, 0, 1, 1, 0, 2])
    confusion = confusion_matrix(truth, predicted, 3)
    assert confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    iou = iou_per_class(confusion)
    assert iou[:2] == pytest.approx([2 / 4, 1 / 3])
    assert np.isnan(iou[2]), "a class neither labelled nor predicted has no IoU"


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_iou_agrees_with_sets_of_pixels(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes + 1, 200)
    predicted = rng.integers(0, classes, 200)
    iou = iou_per_class(confusion_matrix(truth, predicted, classes))
    labelled = {i for i in range(200) if truth[i] < classes}
    for index in range(classes):
        a = {i for i in labelled if truth[i] == index}
        b = {i for i in labelled if predicted[i] == index}
        if a | b:
            assert iou[index] == pytest.approx(len(a & b) / len(a | b))
        else:
            assert np.isnan(iou[index])


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
