"""The result of comparing a graph in lower precision with the fp32 graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PrecisionParity:
    """Precision parity: how far the results of a converted graph are from those of the fp32 graph.

    Attributes:
        images: number of images compared.
        labels_kept: share of pixels with the same label, 0..1.
        largest_cost_change: largest change of a pixel's expected cost, nav2 units (0..254).
        mean_cost_change: mean absolute change of the expected cost, nav2 units.
        largest_probability_change: largest change of a class probability at a sample point, 0..1.
        reference_iou: mean IoU of the fp32 graph over the labels that occur, 0..1; None without labels.
        converted_iou: mean IoU of the converted graph, likewise.
    """

    images: int
    labels_kept: float
    largest_cost_change: float
    mean_cost_change: float
    largest_probability_change: float
    reference_iou: float | None = None
    converted_iou: float | None = None

    @property
    def iou_loss(self) -> float | None:
        """Percentage points of mean IoU lost (negative: gained); None without labels."""
        if self.reference_iou is None or self.converted_iou is None:
            return None
        return 100 * (self.reference_iou - self.converted_iou)
