"""Losses of single pixels: cross-entropy, with label smoothing and weights by region, and focal loss."""

from __future__ import annotations

import torch
from torch import Tensor

from seg_perception.training.losses.labels import labelled_log_probability, per_pixel

_NO_MASS = 1e-6  # below any real sum of weights


def cross_entropy(
    log_q: Tensor, target: Tensor, weight: Tensor, pixel_weight: Tensor | None = None, smoothed: Tensor | None = None
) -> Tensor:
    """Mean negative log-likelihood −log q over labelled pixels (softmax regression; Bridle, NIPS 1989).

    A group's q makes it the exact likelihood of a label that leaves a choice (Jin and Ghahramani, *Learning with
    multiple labels*, NIPS 2002), which says nothing about the choice. The mean is weighted by
    the label's weight times the pixel's. With all weights 1 and without smoothing it is a proper score, least for
    calibrated probabilities.

    Args:
        log_q: float [N, K+G, H, W] from `label_log_probabilities`.
        target: int64 [N, H, W], 255 ignored.
        weight: float [K+G], a factor per label.
        pixel_weight: float [N, H, W] ≥ 0, such as `region_weights`; None for 1 everywhere.
        smoothed: float [K+G, K+G] from `smoothed_labels`; None for no smoothing.

    Returns:
        Scalar in [0, ∞): 0 for a perfect prediction (without smoothing), log K for equal probabilities; 0, with a
        gradient of 0, when no pixel is labelled.
    """
    mass = per_pixel(weight, target)
    if smoothed is None:
        surprise = -mass * labelled_log_probability(log_q, target)
    else:
        surprise = -(per_pixel(smoothed * weight, target) * log_q).sum(dim=1)
    if pixel_weight is not None:
        mass, surprise = mass * pixel_weight, surprise * pixel_weight
    return surprise.sum() / mass.sum().clamp(min=_NO_MASS)


def smoothed_labels(members: Tensor, amount: float) -> Tensor:
    """Label smoothing: with probability `amount` a label is replaced by a random class (Szegedy et al., CVPR 2016).

    A group keeps the share of its own members, so that smoothing does not act between them.

    Args:
        members: float [K+G, K] from `membership`.
        amount: ε in [0, 1).

    Returns:
        float [K+G, K+G]: for each label (row) the weights of all labels, 1 in sum.
    """
    labels, classes = members.shape
    stray = torch.zeros(labels, labels, dtype=members.dtype, device=members.device)
    stray[:, :classes] = (1.0 - members) / classes
    stray += torch.diag(members.sum(dim=1) / classes)
    return (1.0 - amount) * torch.eye(labels, dtype=members.dtype, device=members.device) + amount * stray


def focal(log_q: Tensor, target: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """Focal loss −(1−q)^γ log q (Lin et al., *Focal Loss for Dense Object Detection*, ICCV 2017).

    The factor reduces the weight of pixels that are right already, so that many easy pixels do not outweigh few hard
    ones. γ = 0 is cross-entropy. Its optimum is underconfident: calibrate afterwards.

    Args:
        log_q: float [N, K+G, H, W] from `label_log_probabilities`.
        target: int64 [N, H, W], 255 ignored.
        weight: float [K+G], a factor per label.
        gamma: γ ≥ 0.

    Returns:
        Scalar in [0, ∞), never above `cross_entropy`; 0, with a gradient of 0, when no pixel is labelled.
    """
    log_true = labelled_log_probability(log_q, target)
    # x^γ has an infinite slope at 0 for γ < 1, and 1 − q is 0 where a pixel is certain.
    error = (-torch.expm1(log_true)).clamp(min=torch.finfo(log_true.dtype).eps)
    mass = per_pixel(weight, target)
    return (-mass * error**gamma * log_true).sum() / mass.sum().clamp(min=_NO_MASS)
