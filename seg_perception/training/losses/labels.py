"""Labels that may leave a choice of classes: the classes they allow, and their probabilities.

Targets are class indices 0..K-1, or K+g for "one of the classes of group g" (a label like *vegetation*, which may be
tree or grass), or 255 for unlabelled pixels. A group's probability is the sum over its members.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name every torch user knows)

from seg_perception.datasets.dataset import IGNORE


def label_log_probabilities(logits: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """Log-probability of every label, classes first and then groups.

    Args:
        logits: float [N, K, H, W].
        groups: G lists of class indices.

    Returns:
        [N, K+G, H, W], float32, or float64 for such logits: half precision is converted before anything can overflow.
    """
    log_p = F.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=1)
    summed = [torch.logsumexp(log_p[:, list(group)], dim=1, keepdim=True) for group in groups]
    return torch.cat([log_p, *summed], dim=1)


def membership(classes: int, groups: Sequence[Sequence[int]]) -> Tensor:
    """float32 [K+G, K]: 1 where a label allows a class."""
    members = torch.eye(classes + len(groups), classes)
    for label, group in enumerate(groups, start=classes):
        members[label, list(group)] = 1.0
    return members


def one_hot(target: Tensor, labels: int) -> Tensor:
    """bool [N, labels, H, W] from target int64 [N, H, W]; all false for unlabelled pixels."""
    return target.unsqueeze(1) == torch.arange(labels, device=target.device).view(1, -1, 1, 1)


def per_pixel(table: Tensor, target: Tensor) -> Tensor:
    """Look up each pixel's label in a table; 0 for unlabelled pixels.

    Args:
        table: [K+G] or [K+G, M].
        target: int64 [N, H, W].

    Returns:
        [N, H, W] or [N, M, H, W].
    """
    ignored = target == IGNORE
    found = table[target.masked_fill(ignored, 0)]
    return found.masked_fill(ignored, 0.0) if table.ndim == 1 else found.movedim(-1, 1) * ~ignored.unsqueeze(1)


def labelled_log_probability(log_q: Tensor, target: Tensor) -> Tensor:
    """Log-probability [N, H, W] of each pixel's label; 0, without gradient, for unlabelled pixels."""
    ignored = target == IGNORE
    picked = log_q.gather(1, target.masked_fill(ignored, 0).unsqueeze(1)).squeeze(1)
    return picked.masked_fill(ignored, 0.0)


def soft_confusion(ground_truth: Tensor, probability: Tensor) -> Tensor:
    """The confusion matrix of soft predictions: products of true and predicted probabilities, summed over all pixels.

    Args:
        ground_truth: [N, A, H, W].
        probability: [N, B, H, W].

    Returns:
        [A, B].
    """
    return torch.einsum("nahw,nbhw->ab", ground_truth.to(probability.dtype), probability)
