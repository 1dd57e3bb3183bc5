"""Validation during training."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from seg_perception.datasets.dataset import LabelSpace, Sample
from seg_perception.evaluation.metrics.labels import EvaluationLabels
from seg_perception.evaluation.metrics.segmentation import confusion_matrix, iou_per_class
from seg_perception.training.distributed import DistributedContext
from seg_perception.training.losses.labels import label_log_probabilities
from seg_perception.training.network.architecture import SegmentationNetwork
from seg_perception.training.training_state import to_input


@torch.no_grad()
def validate(
    network: SegmentationNetwork,
    samples: Iterable[Sample],
    labels: EvaluationLabels,
    space: LabelSpace,
    context: DistributedContext,
) -> dict[str, float]:
    """IoU per label of the validation data and their mean, as in `evaluation.metrics.labels`.

    Args:
        network: to validate; left in evaluation mode.
        samples: this process's part of the validation data.
        labels: that occur in the validation data.
        space: of all labels.
        context: the processes that validate.

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
    scores = iou_per_class(context.sum_over_processes(total))
    return dict(zip(labels.names, scores.tolist(), strict=True)) | {"mean": float(np.nanmean(scores))}
