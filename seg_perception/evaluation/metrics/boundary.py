"""Boundary F-score: how well the outlines of a segmentation match the true ones, whatever the areas.

Source: Csurka, Larlus & Perronnin, "What is a good evaluation measure for semantic segmentation?", BMVC 2013. The
rules for unlabelled pixels are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.dataset import IGNORE
from seg_perception.utils.ratio import ratio


@dataclass(frozen=True)
class Tolerance:
    """Distance up to which two outlines match.

    Attributes:
        value: at least 0.
        unit: "px", or "%" of the image's diagonal.
    """

    value: float
    unit: Literal["px", "%"]

    def pixels(self, shape: tuple[int, ...]) -> float:
        """The distance in pixels for an image of shape (H, W)."""
        return self.value if self.unit == "px" else self.value / 100.0 * math.hypot(*shape)

    def __str__(self) -> str:
        return f"{self.value:g} px" if self.unit == "px" else f"{self.value:g} % of the diagonal"


DEFAULT_TOLERANCE = Tolerance(0.75, "%")
"""As in Csurka et al."""


def boundary_f_score(
    ground_truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int, tolerance: float
) -> NDArray[np.float64]:
    """F = 2 P R / (P + R) of the boundary pixels of each class in one image.

    A boundary pixel of a class has one of its four neighbours in another class; the image's edge is no boundary.
    Precision P is the share of predicted boundary pixels that lie within the tolerance of a true one of the class,
    recall R the share of true ones within the tolerance of a predicted one; a share of nothing counts as 1. True
    boundaries run between labelled pixels only, and predicted boundary pixels within the tolerance of unlabelled ones
    do not enter P: the true boundary may run there.

    Args:
        ground_truth: uint8 [H, W], 255 where nothing is labelled.
        predicted: uint8 [H, W], values 0..classes-1.
        classes: how many there are.
        tolerance: Euclidean distance, pixels.

    Returns:
        float64 [classes], each in 0..1; NaN for a class without any boundary.
    """
    labelled = ground_truth != IGNORE
    true_boundary = _boundary(ground_truth, labelled)
    predicted_boundary = _boundary(predicted, np.ones_like(labelled))
    decidable = _distance_to(~labelled) > tolerance
    scores = np.full(classes, np.nan)
    for number in range(classes):
        true = true_boundary & (ground_truth == number)
        found = predicted_boundary & (predicted == number)
        counted = found & decidable
        if true.any() or counted.any():
            precision = _share(_distance_to(true)[counted] <= tolerance)
            recall = _share(_distance_to(found)[true] <= tolerance)
            scores[number] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return scores


def _boundary(labels: NDArray[np.uint8], labelled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool [H, W]: labelled pixels with another label above, below, left or right of them."""
    boundary = np.zeros_like(labelled)
    for one, other in ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = (labels[one] != labels[other]) & labelled[one] & labelled[other]
        boundary[one] |= differs
        boundary[other] |= differs
    return boundary


def _distance_to(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """float32 [H, W]: Euclidean distance to the nearest pixel of the mask, exact; infinite where it has none."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance, np.float32)


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if hits.size else 1.0


@dataclass(frozen=True, eq=False)
class BoundaryScores:
    """Sums of boundary F-scores over images.

    Attributes:
        total: float64 [L], sum of the scores per label.
        images: int64 [L], in how many images the label had a score.
    """

    total: NDArray[np.float64]
    images: NDArray[np.int64]

    @classmethod
    def of(cls, scores: NDArray[np.float64]) -> BoundaryScores:
        """The scores of one image, from `boundary_f_score`."""
        return cls(np.nan_to_num(scores), (~np.isnan(scores)).astype(np.int64))

    def __add__(self, other: BoundaryScores) -> BoundaryScores:
        return BoundaryScores(self.total + other.total, self.images + other.images)

    def per_label(self) -> NDArray[np.float64]:
        """float64 [L]: mean over the images; NaN for a label that never had a score."""
        return ratio(self.total, self.images)
