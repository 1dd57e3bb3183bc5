"""Judging a network in training."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from seg_perception.datasets.dataset import LabelSpace, Sample
from seg_perception.evaluation.metrics.segmentation import confusion_matrix, iou_per_class
from seg_perception.evaluation.network.labels import JudgedLabels
from seg_perception.training.distributed import Processes
from seg_perception.training.losses.labels import label_log_probabilities
from seg_perception.training.network.architecture import SegmentationNetwork
from seg_perception.training.training_state import to_input


@torch.no_grad()
def validate(
    network: SegmentationNetwork,
    samples: Iterable[Sample],
    labels: JudgedLabels,
    space: LabelSpace,
    processes: Processes,
) -> dict[str, float]:
    """IoU per label of the validation data and their mean, by the rule of `evaluation.labels`.

    Args:
        network: what to judge; left in evaluation mode.
        samples: this process's part of the validation data.
        labels: which of them count.
        space: what they mean.
        processes: who validates.

    Returns:
        Label name → IoU, and "mean", over the parts of all processes.
    """
    device = next(network.parameters()).device
    network.eval()
    total = np.zeros((len(labels.names), len(labels.names)), np.int64)
    for sample in samples:
        logits = network(to_input(sample.image.transpose(2, 0, 1)[None].copy(), device))
        full = torch.nn.functional.interpolate(logits, size=sample.label.shape, mode="bilinear", align_corners=False)
        log_q = label_log_probabilities(full, space.groups)[0, list(labels.numbers)]
        decided = log_q.argmax(0).cpu().numpy()
        total += confusion_matrix(labels.renumber(sample.label), decided, len(labels.names))
    scores = iou_per_class(processes.total(total))
    return dict(zip(labels.names, scores.tolist(), strict=True)) | {"mean": float(np.nanmean(scores))}
