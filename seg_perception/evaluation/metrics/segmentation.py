"""Segmentation metrics: IoU from a confusion matrix, expected calibration error from a reliability table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.ratio import ratio


def confusion_matrix(
    ground_truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """Count pixels per (ground truth, prediction).

    Args:
        ground_truth: integers of any shape; values ≥ `classes` (ignore) are left out.
        predicted: the same shape, values 0..classes-1.

    Returns:
        int64 [classes, classes], row = ground truth, column = prediction.
    """
    valid = ground_truth < classes
    flat = ground_truth[valid].astype(np.int64) * classes + predicted[valid]
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def iou_per_class(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union TP / (TP + FP + FN) per class; NaN for a class neither labelled nor predicted."""
    hits = np.diag(confusion)
    return ratio(hits, confusion.sum(axis=0) + confusion.sum(axis=1) - hits)


def pixel_accuracy(confusion: NDArray[np.int64]) -> float:
    """Share of labelled pixels that are right; NaN without any."""
    return float(ratio(np.trace(confusion), confusion.sum()))


@dataclass(frozen=True)
class Reliability:
    """Pixels binned by confidence (Guo et al., ICML 2017).

    Attributes:
        count: int64 [B] pixels per bin of equal width over [0, 1].
        confidence: float64 [B] summed confidence per bin.
        correct: float64 [B] right decisions per bin.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]

    @classmethod
    def of(cls, confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 15) -> Reliability:
        """Bin confidences in [0, 1] (any shape) against whether each decision was right (same shape)."""
        index = np.minimum((confidence.ravel() * bins).astype(np.int64), bins - 1)
        return cls(
            np.bincount(index, minlength=bins),
            np.bincount(index, weights=confidence.ravel(), minlength=bins).astype(np.float64),
            np.bincount(index, weights=correct.ravel(), minlength=bins).astype(np.float64),
        )

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(self.count + other.count, self.confidence + other.confidence, self.correct + other.correct)

    def expected_calibration_error(self) -> float:
        """ECE = Σ_b n_b/n |accuracy_b − confidence_b|, in [0, 1]; NaN without pixels."""
        total = self.count.sum()
        return float(np.abs(self.correct - self.confidence).sum() / total) if total else float("nan")
