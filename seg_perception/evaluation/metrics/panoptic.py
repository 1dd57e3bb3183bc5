"""Panoptic quality: recognition of segments (things and stuff) and the IoU of the recognised ones.

Source: Kirillov, He, Girshick, Rother & Dollár, "Panoptic Segmentation", CVPR 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.ratio import ratio

_VOID = -1


@dataclass(frozen=True, eq=False)
class Segments:
    """The segment of each pixel: pixels of equal class and instance make one segment.

    Attributes:
        classes: integers [H, W], 0..K-1; anything else is void.
        instances: integers [H, W], at least 0; 0 everywhere in stuff, which has one segment per class.
    """

    classes: NDArray[np.integer]
    instances: NDArray[np.integer]

    @classmethod
    def from_instances(
        cls, classes: NDArray[np.integer], instances: NDArray[np.integer], things: Sequence[bool]
    ) -> Segments:
        """Segments where instances are labelled.

        Args:
            classes: integers [H, W].
            instances: integers [H, W], at least 0; values within stuff are ignored.
            things: one flag per class, true for things, whose instances are segments of their own.
        """
        return cls(classes, np.where(np.isin(classes, np.flatnonzero(things)), instances, 0))

    @classmethod
    def from_components(cls, classes: NDArray[np.uint8], things: Sequence[bool]) -> Segments:
        """Segments without instance labels: each connected component (8 neighbours) of a thing is one instance.

        So two cars that touch are one instance, and a car behind a pole is two.
        """
        instances = np.zeros(classes.shape, np.int32)
        for thing in np.flatnonzero(things):
            instances += cv2.connectedComponents((classes == thing).astype(np.uint8), connectivity=8)[1]
        return cls(classes, instances)


@dataclass(frozen=True, eq=False)
class PanopticQuality:
    """Matched and unmatched segments per class.

    Attributes:
        iou: float64 [K], sum of the IoU of matched pairs.
        matched: int64 [K], matched pairs (TP).
        false_positives: int64 [K], unmatched predicted segments.
        false_negatives: int64 [K], unmatched true segments.
    """

    iou: NDArray[np.float64]
    matched: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    false_negatives: NDArray[np.int64]

    @classmethod
    def of(cls, ground_truth: Segments, predicted: Segments, classes: int) -> PanopticQuality:
        """Match the segments of one image.

        A pair of one class matches where its IoU exceeds 0.5; so no segment can match twice. Pixels that are void in
        the ground truth do not count towards IoU. An unmatched predicted segment of which more than half is void is no
        false positive. Void pixels of the prediction count as not predicted.

        Args:
            ground_truth: the true segments.
            predicted: the predicted ones, of the same shape.
            classes: K.
        """
        true_class, true_area, true_index = _number(ground_truth, classes)
        predicted_class, predicted_area, predicted_index = _number(predicted, classes)
        pairs, overlap = np.unique(true_index * len(predicted_area) + predicted_index, return_counts=True)
        true, found = np.divmod(pairs, len(predicted_area))

        in_void = true_class[true] == _VOID
        void_area = np.bincount(found[in_void], weights=overlap[in_void], minlength=len(predicted_area)).astype(
            np.int64
        )
        union = true_area[true] + predicted_area[found] - void_area[found] - overlap
        same = (true_class[true] == predicted_class[found]) & ~in_void
        match = same & (2 * overlap > union)

        false_negatives = true_class != _VOID
        false_positives = (predicted_class != _VOID) & (2 * void_area <= predicted_area)
        false_negatives[true[match]] = False
        false_positives[found[match]] = False
        return cls(
            np.bincount(true_class[true[match]], overlap[match] / union[match], classes).astype(np.float64),
            np.bincount(true_class[true[match]], minlength=classes),
            np.bincount(predicted_class[false_positives], minlength=classes),
            np.bincount(true_class[false_negatives], minlength=classes),
        )

    def __add__(self, other: PanopticQuality) -> PanopticQuality:
        return PanopticQuality(
            self.iou + other.iou,
            self.matched + other.matched,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )

    def segmentation(self) -> NDArray[np.float64]:
        """SQ [K]: mean IoU of the matched pairs; 0 where none matched, NaN for a class without segments."""
        segments = self.matched + self.false_positives + self.false_negatives
        return ratio(self.iou, np.where(segments > 0, np.maximum(self.matched, 1), 0))

    def recognition(self) -> NDArray[np.float64]:
        """RQ = TP / (TP + FP/2 + FN/2) [K]; NaN for a class without segments."""
        return ratio(self.matched, self.matched + 0.5 * (self.false_positives + self.false_negatives))

    def panoptic(self) -> NDArray[np.float64]:
        """PQ = SQ · RQ [K]; NaN for a class without segments."""
        return self.segmentation() * self.recognition()


def _number(segments: Segments, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Class [S] (-1 void) and area [S] of each segment, and the segment of each pixel [H·W]."""
    class_of = segments.classes.ravel().astype(np.int64)
    void = (class_of < 0) | (class_of >= classes)
    instance = segments.instances.ravel().astype(np.int64)
    stride = int(instance.max(initial=0)) + 1
    code = np.where(void, _VOID * stride, class_of * stride + instance)
    codes, index, area = np.unique(code, return_inverse=True, return_counts=True)
    return codes // stride, area.astype(np.int64), index.astype(np.int64)
