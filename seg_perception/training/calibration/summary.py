"""A calibration as plain numbers, for the model card and for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from seg_perception.evaluation.metrics.segmentation import Reliability
from seg_perception.model.card import Precision
from seg_perception.training.calibration.calibrate import Calibration


def calibration_summary(calibration: Calibration) -> dict[str, Any]:
    """The metrics in a model card; all but "before" and "none" are cross-validated (see `Calibration`)."""
    before, after = calibration.before, calibration.after
    return {
        "calibration": "vector scaling" if calibration.scaling.scale else "temperature scaling",
        "mean_iou": {
            "before": _short(float(np.nanmean(before.iou()))),
            "after": _short(float(np.nanmean(after.iou()))),
        },
        "iou": {name: _short(score) for name, score in zip(calibration.labels, after.iou(), strict=True)},
        "nll": {
            "none": _short(calibration.nll_before),
            "temperature": _short(calibration.nll_temperature),
            "vector": _short(calibration.nll_vector),
        },
        "ece": {"before": _short(before.ece()), "after": _short(after.ece())},
        "ece_of_halves": {
            "before": [_short(half.ece()) for half in calibration.halves_before],
            "after": [_short(half.ece()) for half in calibration.halves_after],
        },
        "classwise_ece": {"before": _short(before.classwise_ece()), "after": _short(after.classwise_ece())},
        "reliability": _bins(after.reliability),
    }


def calibration_table(results: Mapping[Precision, Calibration]) -> str:
    """The metrics as lines of text, a column per precision."""
    columns = {precision: _column(calibration_summary(result)) for precision, result in results.items()}
    rows = list(next(iter(columns.values())))
    lines = ["".join([f"{'':<20}", *(f"{precision:>22}" for precision in columns)])]
    lines += ["".join([f"{row:<20}", *(f"{column[row]:>22}" for column in columns.values())]) for row in rows]
    return "\n".join(lines)


def _column(content: Mapping[str, Any]) -> dict[str, str]:
    def change(key: str, half: int | None = None) -> str:
        before, after = content[key]["before"], content[key]["after"]
        return f"{before:.4f} -> {after:.4f}" if half is None else f"{before[half]:.4f} -> {after[half]:.4f}"

    return {
        "calibration": content["calibration"],
        "mean IoU": change("mean_iou"),
        "ECE": change("ece"),
        "ECE, first half": change("ece_of_halves", 0),
        "ECE, last half": change("ece_of_halves", 1),
        "class-wise ECE": change("classwise_ece"),
        **{f"NLL, {kind}": f"{value:.4f}" for kind, value in content["nll"].items()},
        **{f"IoU {name}": f"{score:.4f}" for name, score in content["iou"].items()},
    }


def _bins(reliability: Reliability) -> dict[str, list[Any]]:
    """Per bin: edges, pixels, mean confidence and accuracy; None for empty bins."""
    counts = reliability.count.tolist()
    confidence, accuracy = (
        [_short(total / count) if count else None for total, count in zip(totals.tolist(), counts, strict=True)]
        for totals in (reliability.confidence, reliability.correct)
    )
    edges = [_short(index / len(counts)) for index in range(len(counts) + 1)]
    return {"edges": edges, "count": counts, "confidence": confidence, "accuracy": accuracy}


def _short(value: float) -> float:
    return round(float(value), 4)
