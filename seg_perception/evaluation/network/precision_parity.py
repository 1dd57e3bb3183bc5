"""Precision parity: compare a graph in lower precision with the fp32 graph on images, and check the limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from seg_perception.errors import ModelError
from seg_perception.evaluation.metrics.segmentation import confusion_matrix, iou_per_class
from seg_perception.inference.onnx.session import open_session
from seg_perception.inference.precision.fp16 import emulate_fp16
from seg_perception.inference.precision.parity import PrecisionParity
from seg_perception.model.card import Precision

MIN_LABELS_KEPT: dict[Precision, float] = {"fp32": 1.0, "fp16": 0.99, "int8": 0.97}
"""Lowest accepted share of pixels that keep their label."""

MAX_IOU_LOSS: dict[Precision, float] = {"fp32": 0.0, "fp16": 0.2, "int8": 1.0}
"""Highest accepted loss of mean IoU, percentage points."""

_LABELS = 255


@dataclass(frozen=True, eq=False)
class Batch:
    """Images to compare on, with labels if there are any.

    Attributes:
        images: uint8 [N, H, W, 3], as the graphs take them.
        labels: uint8 [N, h, w] like the graphs' output `labels`, 255 for unlabelled pixels; None without labels.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None = None


def compare(
    reference: onnx.ModelProto,
    converted: onnx.ModelProto,
    batches: Iterable[Batch],
    costs: NDArray[np.float32],
    label_of_class: NDArray[np.uint8] | None = None,
) -> PrecisionParity:
    """Run two fused graphs on the same images with ONNX Runtime, and measure their precision parity.

    Args:
        reference: from `graph.fused_graph`, in fp32.
        converted: the same graph from `convert_precision`.
        batches: images, in batches of the size that the graphs take.
        costs: float32 [K + 1, K], decision rows and traverse row; `uniform_costs` without a cost matrix.
        label_of_class: uint8 [K], the label of each class in `Batch.labels`; classes that a dataset does not
            distinguish share one. By default the class index.

    Raises:
        ModelError: there are no images, a graph does not run on them, or its output is not finite.
    """
    run_reference, run_converted = _Runner(reference, costs), _Runner(converted, costs)
    class_labels = np.arange(len(costs) - 1, dtype=np.uint8) if label_of_class is None else label_of_class
    parts = []
    confusions = np.zeros((2, _LABELS, _LABELS), np.int64)
    for batch in batches:
        before, after = run_reference(batch.images), run_converted(batch.images)
        parts.append(_differences(before, after))
        if batch.labels is not None:
            for confusion, outputs in zip(confusions, (before, after), strict=True):
                confusion += confusion_matrix(batch.labels, class_labels[outputs["labels"]], _LABELS)
    if not parts:
        raise ModelError("there are no images to compare precisions on; give a folder that holds some.")
    ious = [_mean_iou(confusion) for confusion in confusions] if confusions.any() else [None, None]
    return PrecisionParity(
        images=sum(part.images for part in parts),
        labels_kept=float(np.mean([part.labels_kept for part in parts])),
        largest_cost_change=max(part.largest_cost_change for part in parts),
        mean_cost_change=float(np.mean([part.mean_cost_change for part in parts])),
        largest_probability_change=max(part.largest_probability_change for part in parts),
        reference_iou=ious[0],
        converted_iou=ious[1],
    )


def broken_limit(parity: PrecisionParity, precision: Precision) -> str | None:
    """One sentence that names the broken limit of `precision`; None if all hold."""
    least, most = MIN_LABELS_KEPT[precision], MAX_IOU_LOSS[precision]
    if parity.labels_kept < least:
        return (
            f"{precision} keeps only {parity.labels_kept:.2%} of the labels of fp32, but must keep {least:.0%}; use a "
            "higher precision, or calibration images that resemble the compared ones."
        )
    if parity.iou_loss is not None and parity.iou_loss > most:
        return (
            f"{precision} loses {parity.iou_loss:.2f} points of mean IoU against fp32, but may lose {most:g}; use a "
            "higher precision, or calibration images that resemble the compared ones."
        )
    return None


def table(parity: PrecisionParity, precision: Precision) -> str:
    """The figures with their limits, as lines of text."""
    rows = [
        ("images", f"{parity.images}", ""),
        ("labels kept", f"{parity.labels_kept:.2%}", f"at least {MIN_LABELS_KEPT[precision]:.0%}"),
        ("expected cost, largest change", f"{parity.largest_cost_change:.0f} of 254", ""),
        ("expected cost, mean change", f"{parity.mean_cost_change:.3f}", ""),
        ("class probability, largest change", f"{parity.largest_probability_change:.3f}", ""),
    ]
    if parity.reference_iou is not None and parity.converted_iou is not None:
        rows += [
            ("mean IoU in fp32", f"{parity.reference_iou:.2%}", ""),
            (f"mean IoU in {precision}", f"{parity.converted_iou:.2%}", ""),
            ("mean IoU, points lost", f"{parity.iou_loss:.2f}", f"at most {MAX_IOU_LOSS[precision]:g}"),
        ]
    return "\n".join(f"{name:<34}{figure:>10}  {limit}".rstrip() for name, figure, limit in rows)


class _Runner:
    """A fused graph in ONNX Runtime, with random sample points over the whole image."""

    def __init__(self, model: onnx.ModelProto, costs: NDArray[np.float32]) -> None:
        try:
            self._session: onnxruntime.InferenceSession = open_session(emulate_fp16(model))
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            raise ModelError(
                f"the graph to compare does not load ({str(error).splitlines()[0]}); use another precision."
            ) from None
        shape = next(value.shape for value in self._session.get_inputs() if value.name == "sample_points")
        sample_points = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        self._fixed = {"costs": costs, "sample_points": sample_points}
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        values = self._session.run(self._names, {"image": images, **self._fixed})
        outputs = dict(zip(self._names, values, strict=True))
        if not np.isfinite(outputs["score_norm"]).all():
            raise ModelError("the network gives numbers that are not finite in this precision; use a higher one.")
        return outputs


def _differences(before: dict[str, NDArray[Any]], after: dict[str, NDArray[Any]]) -> PrecisionParity:
    cost = np.abs(before["expected_cost"].astype(np.int16) - after["expected_cost"])
    probability = np.abs(before["sample_probabilities"] - after["sample_probabilities"])
    return PrecisionParity(
        images=len(before["labels"]),
        labels_kept=float((before["labels"] == after["labels"]).mean()),
        largest_cost_change=float(cost.max()),
        mean_cost_change=float(cost.mean()),
        largest_probability_change=float(probability.max()),
    )


def _mean_iou(confusion: NDArray[np.int64]) -> float:
    """Mean over the labels that occur; predicting a label that never occurs counts as a miss of the true label."""
    return float(iou_per_class(confusion)[confusion.sum(axis=1) > 0].mean())
