"""The losses of a plan as one function of logits and labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name every torch user knows)

from seg_perception.datasets.dataset import LabelSpace
from seg_perception.training import loss_plan
from seg_perception.training.losses.expected_cost import expected_cost
from seg_perception.training.losses.labels import label_log_probabilities, membership
from seg_perception.training.losses.overlap import dice, jaccard, tversky
from seg_perception.training.losses.point_supervision import point_supervision, without_point_labels
from seg_perception.training.losses.pointwise import cross_entropy, focal, smoothed_labels
from seg_perception.training.losses.region import region_weights

_Function: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class TrainingLoss:
    """The weighted sum of a plan's losses.

    Args:
        plan: the losses, and the weights of labels.
        space: classes and groups of the labels.
        counts: [K+G], labelled pixels of each label in the training data.
        device: where logits and labels will be.
    """

    def __init__(
        self, plan: loss_plan.LossPlan, space: LabelSpace, counts: NDArray[np.int64], device: torch.device
    ) -> None:
        members = membership(len(space.classes), space.groups).to(device)
        weight = torch.from_numpy(plan.balance.weights(counts)).to(device)
        self._groups = space.groups
        self._parts = [(loss.weight, _function(loss, members, weight)) for loss in plan.losses]
        self._has_points = any(isinstance(loss, loss_plan.PointSupervision) for loss in plan.losses)

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            logits: float [N, K, h, w], of any precision; upsampled bilinearly to the labels' size.
            target: int64 [N, H, W] of labels 0..K+G-1, 255 for unlabelled pixels, label + POINT_OFFSET in the
                discs around points.

        Returns:
            Scalar; 0, with a gradient of 0, when no pixel is labelled.
        """
        # Inside a caller's autocast the sums over all pixels would be taken in half precision.
        with torch.autocast(logits.device.type, enabled=False):
            precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
            size = (target.shape[1], target.shape[2])
            full = F.interpolate(precise, size=size, mode="bilinear", align_corners=False)
            log_q = label_log_probabilities(full, self._groups)
            masks_only = without_point_labels(target) if self._has_points else target
            parts = [
                factor * function(log_q, target if function is point_supervision else masks_only)
                for factor, function in self._parts
            ]
            return torch.stack(parts).sum()


def _function(loss: loss_plan.Loss, members: Tensor, weight: Tensor) -> _Function:
    """The loss as a function of log-probabilities and target."""
    match loss:
        case loss_plan.CrossEntropy():
            return _cross_entropy(loss, members, weight)
        case loss_plan.Focal():
            return partial(focal, weight=weight, gamma=loss.gamma)
        case loss_plan.Dice():
            return partial(dice, members=members)
        case loss_plan.Jaccard():
            return partial(jaccard, members=members)
        case loss_plan.Tversky():
            return partial(tversky, members=members, alpha=loss.alpha, beta=loss.beta)
        case loss_plan.ExpectedCost():
            return partial(expected_cost, members=members, costs=torch.tensor(loss.costs, device=members.device))
        case loss_plan.PointSupervision():
            return point_supervision


def _cross_entropy(loss: loss_plan.CrossEntropy, members: Tensor, weight: Tensor) -> _Function:
    smoothed = smoothed_labels(members, loss.label_smoothing) if loss.label_smoothing else None
    region = loss.region
    if region is None:
        return partial(cross_entropy, weight=weight, smoothed=smoothed)
    class_weight = torch.tensor(region.class_weights, device=members.device)

    def weighted_by_region(log_q: Tensor, target: Tensor) -> Tensor:
        pixels = region_weights(target, members, class_weight, region.border_width, region.border_weight)
        return cross_entropy(log_q, target, weight, pixels, smoothed)

    return weighted_by_region
