"""The loss of point labels by multiple-instance learning: taken together, the pixels of a bag show its class."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg_perception.datasets.dataset import IGNORE
from seg_perception.datasets.point_supervision import POINT_OFFSET


def without_point_labels(target: Tensor) -> Tensor:
    """The target [N, H, W] with IGNORE in place of the bags, for losses that take every pixel for labelled."""
    return target.masked_fill(target >= POINT_OFFSET, IGNORE)


def mil_bags(target: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The MIL bags of a batch: connected regions of one point label.

    Args:
        target: [N, H, W], label + CLICKED within the bags.

    Returns:
        int64 [N, H, W], 0 outside and 1..B within the bags; int64 [B], their labels.
    """
    bags = np.zeros(target.shape, np.int64)
    labels: list[int] = []
    for image, numbers in zip(target, bags, strict=True):
        for value in np.unique(image[(image >= POINT_OFFSET) & (image < IGNORE)]):
            count, regions = cv2.connectedComponents((image == value).astype(np.uint8))
            numbers += np.where(regions > 0, regions + len(labels), 0)
            labels += [int(value) - POINT_OFFSET] * (count - 1)
    return bags, np.array(labels, np.int64)


def point_supervision(log_q: Tensor, target: Tensor) -> Tensor:
    """Mean over bags of −log of the mean probability of the bag's class (multiple-instance learning by mean pooling).

    A single pixel of another class costs little, unlike with cross-entropy. Pooling by the maximum would be satisfied
    by a single pixel of the class.

    Args:
        log_q: [N, K+G, H, W] log-probabilities.
        target: int64 [N, H, W], label + CLICKED within the bags; everything else is ignored.

    Returns:
        Scalar from 0; 0, with a gradient of 0, where there is no bag.
    """
    numbers, labels = (torch.from_numpy(part).to(log_q.device) for part in mil_bags(target.cpu().numpy()))
    inside = numbers > 0
    if not labels.numel():
        return log_q.sum() * 0.0
    bag = numbers[inside] - 1
    log_p = log_q.movedim(1, -1)[inside].gather(1, labels[bag, None]).squeeze(1)
    # log of a mean of probabilities that may all be too small for a float: taken relative to the largest of each bag.
    highest = log_p.new_full((len(labels),), -torch.inf).scatter_reduce(0, bag, log_p.detach(), "amax")
    total = torch.zeros_like(highest).index_add(0, bag, (log_p - highest[bag]).exp())
    size = torch.bincount(bag, minlength=len(labels)).to(log_p.dtype)
    return (size.log() - total.log() - highest).mean()
