"""Segmentation losses that also learn from labels which leave a choice of classes.

Targets are class indices 0..K-1, or K+g for "one of the classes of group g" (a label like *vegetation* that does not
say tree or grass), or 255 for pixels nobody labelled. A group's probability is the sum over its members, so the
cross-entropy of a group is the exact negative log-likelihood of what was labelled, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name every torch user knows)

IGNORE = 255


def label_log_probabilities(logits: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """Log-probability of every label, classes first and then groups.

    Args:
        logits: float [N, K, H, W].
        groups: G lists of class indices.

    Returns:
        float32 [N, K+G, H, W].
    """
    log_p = F.log_softmax(logits.float(), dim=1)
    summed = [torch.logsumexp(log_p[:, list(group)], dim=1, keepdim=True) for group in groups]
    return torch.cat([log_p, *summed], dim=1)


def cross_entropy(log_q: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean negative log-likelihood over labelled pixels, weighted per label when `weight` [K+G] is given.

    Args:
        log_q: float32 [N, K+G, H, W] from `label_log_probabilities`.
        target: int64 [N, H, W], 255 ignored.

    Returns:
        Scalar ≥ 0; 0 (with a gradient of 0) when no pixel is labelled.
    """
    total = F.nll_loss(log_q, target, weight, ignore_index=IGNORE, reduction="sum")
    labelled = target != IGNORE
    mass = labelled.sum() if weight is None else weight[target[labelled]].sum()
    return total / mass.clamp(min=1e-6)


def focal(log_q: Tensor, target: Tensor, weight: Tensor | None = None, gamma: float = 2.0) -> Tensor:
    """Focal loss −(1−q)^γ log q (Lin et al., ICCV 2017); arguments and range as `cross_entropy`."""
    labelled = target != IGNORE
    index = target.where(labelled, torch.zeros_like(target))
    log_true = log_q.gather(1, index.unsqueeze(1)).squeeze(1)[labelled]
    factor = torch.ones_like(log_true) if weight is None else weight[target[labelled]]
    return ((1.0 - log_true.exp()) ** gamma * -log_true * factor).sum() / factor.sum().clamp(min=1e-6)


def dice(log_q: Tensor, target: Tensor, classes: int, smooth: float = 1.0) -> Tensor:
    """Soft Dice loss 1 − 2|P∩Y| / (|P|+|Y|) (Milletari et al., 3DV 2016), mean over the classes present in the batch.

    Pixels with a group label say nothing about single classes here and are left out.

    Args:
        log_q: float32 [N, K+G, H, W]; only the first `classes` planes are used.
        target: int64 [N, H, W].

    Returns:
        Scalar in [0, 1]; 0 when no class is present.
    """
    exact = target < classes
    truth = F.one_hot(target.where(exact, torch.zeros_like(target)), classes).permute(0, 3, 1, 2) * exact.unsqueeze(1)
    probability = log_q[:, :classes].exp() * exact.unsqueeze(1)
    overlap = (probability * truth).sum(dim=(0, 2, 3))
    size = (probability + truth).sum(dim=(0, 2, 3))
    present = truth.sum(dim=(0, 2, 3)) > 0
    loss = 1.0 - (2.0 * overlap + smooth) / (size + smooth)
    return (loss * present).sum() / present.sum().clamp(min=1)


def combined(
    logits: Tensor, target: Tensor, groups: Sequence[Sequence[int]], parts: Mapping[str, float], weight: Tensor | None
) -> Tensor:
    """Weighted sum of the losses named in `parts` ("cross_entropy", "focal", "dice").

    Args:
        logits: float [N, K, h, w]; upsampled bilinearly to the target's size.
        target: int64 [N, H, W].
        groups: as in `label_log_probabilities`.
        parts: loss name → factor.
        weight: float32 [K+G] or None, for cross-entropy and focal.
    """
    full = F.interpolate(logits.float(), size=(target.shape[1], target.shape[2]), mode="bilinear", align_corners=False)
    log_q = label_log_probabilities(full, groups)
    total = torch.zeros((), device=logits.device)
    if "cross_entropy" in parts:
        total = total + parts["cross_entropy"] * cross_entropy(log_q, target, weight)
    if "focal" in parts:
        total = total + parts["focal"] * focal(log_q, target, weight)
    if "dice" in parts:
        total = total + parts["dice"] * dice(log_q, target, logits.shape[1])
    return total
