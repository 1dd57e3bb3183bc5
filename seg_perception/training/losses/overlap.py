"""Overlap losses over whole regions: the Tversky index, with Dice and Jaccard as special cases.

They are ratios of sums over all pixels of a batch, so they do not depend on a region's share of the image. Each label
that occurs in the batch is a region. A pixel lies inside it if its own label allows nothing else (Tree lies in
Tree|Grass), outside if the two exclude each other, and is left out if it could be either (Tree|Grass for Tree).
"""

from __future__ import annotations

from torch import Tensor

from seg_perception.training.losses.labels import one_hot, soft_confusion


def tversky(log_q: Tensor, target: Tensor, members: Tensor, alpha: float, beta: float) -> Tensor:
    """Tversky loss 1 − TP / (TP + α FP + β FN), the mean over the regions (Salehi et al., MLMI 2017).

    TP, FP and FN are sums of probabilities: of the region's label inside it, of the same outside, and of everything
    else inside. β > α makes misses cost more than false positives.

    Args:
        log_q: float [N, K+G, H, W] from `label_log_probabilities`.
        target: int64 [N, H, W], 255 ignored.
        members: float [K+G, K] from `membership`.
        alpha: α ≥ 0, the weight of false positives.
        beta: β > 0, the weight of false negatives.

    Returns:
        Scalar in [0, 1]: 0 if every region is predicted exactly, 1 if none overlaps; 0, with a gradient of 0, when no
        pixel is labelled.
    """
    labelled = one_hot(target, len(members))
    count = labelled.sum(dim=(0, 2, 3)).to(log_q.dtype)
    found = soft_confusion(labelled, log_q.exp())
    shared = members @ members.T
    inside = shared == members.sum(dim=1, keepdim=True)
    hit = (found * inside).sum(dim=0)
    false_alarm = (found * (shared == 0)).sum(dim=0)
    miss = ((count.unsqueeze(1) - found) * inside).sum(dim=0)
    present = count > 0
    # The bound only affects regions that are not in the batch.
    index = hit / (hit + alpha * false_alarm + beta * miss).clamp(min=1e-6)
    return ((1.0 - index) * present).sum() / present.sum().clamp(min=1)


def dice(log_q: Tensor, target: Tensor, members: Tensor) -> Tensor:
    """Soft Dice loss 1 − 2|P∩Y| / (|P|+|Y|) (Milletari et al., *V-Net*, 3DV 2016).

    This is `tversky` with α = β = ½; arguments and range are the same.
    """
    return tversky(log_q, target, members, 0.5, 0.5)


def jaccard(log_q: Tensor, target: Tensor, members: Tensor) -> Tensor:
    """Soft Jaccard loss 1 − |P∩Y| / |P∪Y|, an IoU with a gradient (Rahman and Wang, ISVC 2016).

    This is `tversky` with α = β = 1; arguments and range are the same.
    """
    return tversky(log_q, target, members, 1.0, 1.0)
