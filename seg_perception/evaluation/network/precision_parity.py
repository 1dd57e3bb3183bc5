"""Whether a graph in lower precision still decides what the fp32 graph decides, and where it stops doing so."""

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
from seg_perception.inference.precision.fp16 import rounded_like_fp16
from seg_perception.model.card import Precision

MIN_LABEL_AGREEMENT: dict[Precision, float] = {"fp32": 1.0, "fp16": 0.99, "int8": 0.97}
"""Least share of pixels that keep their label."""

MAX_IOU_LOSS: dict[Precision, float] = {"fp32": 0.0, "fp16": 0.2, "int8": 1.0}
"""Most percentage points of mean IoU that may be lost."""

_LABELS = 255


@dataclass(frozen=True, eq=False)
class Batch:
    """Images to compare on, and what they really show.

    Attributes:
        images: uint8 [N, H, W, 3], as the graphs take them.
        labels: uint8 [N, h, w] like the graphs' output `labels`, 255 where nothing is known; None without labels.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Agreement:
    """How far a converted graph is from the one it was made from.

    Attributes:
        images: how many images were compared.
        labels: share of pixels with the same label, 0..1.
        largest_cost_change: largest change of a pixel's expected cost, nav2 units (0..254).
        mean_cost_change: mean absolute change of it.
        largest_cell_change: largest change of a class probability at a ground sample, 0..1.
        reference_iou: mean IoU of the fp32 graph over the labels that occur, 0..1; None when no labels were given.
        converted_iou: that of the converted graph.
    """

    images: int
    labels: float
    largest_cost_change: float
    mean_cost_change: float
    largest_cell_change: float
    reference_iou: float | None = None
    converted_iou: float | None = None

    @property
    def iou_loss(self) -> float | None:
        """Percentage points of mean IoU lost (negative: gained); None when no labels were given."""
        if self.reference_iou is None or self.converted_iou is None:
            return None
        return 100 * (self.reference_iou - self.converted_iou)


def plain_costs(classes: int) -> NDArray[np.float32]:
    """Costs for a comparison that knows no cost matrix, float32 [K + 1, K].

    Every mistake costs the same, so the decision is the most probable class, which is what IoU judges. The costs of
    driving are spread evenly over 0..254, so that no two classes can change places without a change of cost.
    """
    return np.vstack([1 - np.eye(classes), np.linspace(0, 254, classes)]).astype(np.float32)


def compare(
    reference: onnx.ModelProto,
    converted: onnx.ModelProto,
    batches: Iterable[Batch],
    costs: NDArray[np.float32],
    label_of_class: NDArray[np.uint8] | None = None,
) -> Agreement:
    """Run two fused graphs on the same images under ONNX Runtime, and measure how far they are apart.

    Args:
        reference: from `graph.fused_graph`, in fp32.
        converted: the same graph from `precision.in_precision`.
        batches: images, as many at a time as the graphs take.
        costs: float32 [K + 1, K], decision rows and traverse row; `plain_costs` where there is no cost matrix.
        label_of_class: uint8 [K], the label in `Batch.labels` that means each class; several classes may share one,
            where a dataset does not tell them apart. By default the class index.

    Raises:
        ModelError: there are no images, a graph does not run on them, or it gives numbers that are not finite.
    """
    run_reference, run_converted = _Runner(reference, costs), _Runner(converted, costs)
    meaning = np.arange(len(costs) - 1, dtype=np.uint8) if label_of_class is None else label_of_class
    parts = []
    confusions = np.zeros((2, _LABELS, _LABELS), np.int64)
    for batch in batches:
        before, after = run_reference(batch.images), run_converted(batch.images)
        parts.append(_differences(before, after))
        if batch.labels is not None:
            for confusion, outputs in zip(confusions, (before, after), strict=True):
                confusion += confusion_matrix(batch.labels, meaning[outputs["labels"]], _LABELS)
    if not parts:
        raise ModelError("there are no images to compare precisions on; give a folder that holds some.")
    ious = [_mean_iou(confusion) for confusion in confusions] if confusions.any() else [None, None]
    return Agreement(
        images=sum(part.images for part in parts),
        labels=float(np.mean([part.labels for part in parts])),
        largest_cost_change=max(part.largest_cost_change for part in parts),
        mean_cost_change=float(np.mean([part.mean_cost_change for part in parts])),
        largest_cell_change=max(part.largest_cell_change for part in parts),
        reference_iou=ious[0],
        converted_iou=ious[1],
    )


def broken_limit(agreement: Agreement, precision: Precision) -> str | None:
    """One sentence naming the limit of `precision` that is broken; None when all hold."""
    least, most = MIN_LABEL_AGREEMENT[precision], MAX_IOU_LOSS[precision]
    if agreement.labels < least:
        return (
            f"{precision} keeps only {agreement.labels:.2%} of the labels of fp32, but must keep {least:.0%}; use a "
            "higher precision, or calibration images that are more like those compared."
        )
    if agreement.iou_loss is not None and agreement.iou_loss > most:
        return (
            f"{precision} loses {agreement.iou_loss:.2f} points of mean IoU against fp32, but may lose {most:g}; use a "
            "higher precision, or calibration images that are more like those compared."
        )
    return None


def table(agreement: Agreement, precision: Precision) -> str:
    """The figures beside their limits as lines of text."""
    rows = [
        ("images", f"{agreement.images}", ""),
        ("labels kept", f"{agreement.labels:.2%}", f"at least {MIN_LABEL_AGREEMENT[precision]:.0%}"),
        ("expected cost, largest change", f"{agreement.largest_cost_change:.0f} of 254", ""),
        ("expected cost, mean change", f"{agreement.mean_cost_change:.3f}", ""),
        ("cell probability, largest change", f"{agreement.largest_cell_change:.3f}", ""),
    ]
    if agreement.reference_iou is not None and agreement.converted_iou is not None:
        rows += [
            ("mean IoU in fp32", f"{agreement.reference_iou:.2%}", ""),
            (f"mean IoU in {precision}", f"{agreement.converted_iou:.2%}", ""),
            ("mean IoU, points lost", f"{agreement.iou_loss:.2f}", f"at most {MAX_IOU_LOSS[precision]:g}"),
        ]
    return "\n".join(f"{name:<34}{figure:>10}  {limit}".rstrip() for name, figure, limit in rows)


class _Runner:
    """A fused graph under ONNX Runtime with ground samples all over the image."""

    def __init__(self, model: onnx.ModelProto, costs: NDArray[np.float32]) -> None:
        try:
            self._session: onnxruntime.InferenceSession = open_session(rounded_like_fp16(model))
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            raise ModelError(
                f"the graph to compare does not load ({str(error).splitlines()[0]}); use another precision."
            ) from None
        shape = next(value.shape for value in self._session.get_inputs() if value.name == "cells")
        cells = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        self._fixed = {"costs": costs, "cells": cells}
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        values = self._session.run(self._names, {"image": images, **self._fixed})
        outputs = dict(zip(self._names, values, strict=True))
        if not np.isfinite(outputs["score_size"]).all():
            raise ModelError("the network gives numbers that are not finite in this precision; use a higher one.")
        return outputs


def _differences(before: dict[str, NDArray[Any]], after: dict[str, NDArray[Any]]) -> Agreement:
    cost = np.abs(before["expected_cost"].astype(np.int16) - after["expected_cost"])
    cell = np.abs(before["cell_probabilities"] - after["cell_probabilities"])
    return Agreement(
        images=len(before["labels"]),
        labels=float((before["labels"] == after["labels"]).mean()),
        largest_cost_change=float(cost.max()),
        mean_cost_change=float(cost.mean()),
        largest_cell_change=float(cell.max()),
    )


def _mean_iou(confusion: NDArray[np.int64]) -> float:
    """Over the labels that occur; what is predicted but never labelled counts as a miss of what it was."""
    return float(iou_per_class(confusion)[confusion.sum(axis=1) > 0].mean())
